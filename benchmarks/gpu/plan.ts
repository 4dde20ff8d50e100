/** How gpu:check spends its time. */

/** Steps before the measurements, with the share of the whole time that each may take at most. */
export const shares = { build: 0.42, native: 0.12, sanitizer: 0.14, suite: 0.14 } as const;
export type Part = keyof typeof shares | 'measure';
export const parts: readonly Part[] = [...(Object.keys(shares) as (keyof typeof shares)[]), 'measure'];

/**
 * Seconds for one native test: three times what the longest, conv2d_cuda_test, should take. Counted, on the emulator: 32,000
 * launches and 73,000 copies that are waited for, at 50 us each 5 s; 1,500 plans of cuDNN, which builds one in 1 to 2 ms,
 * 3,500 runs of them, and their kernels' way to the device, 4 s; the CPU's references, and cuDNN's opening, some more. All 31
 * together make 70,000 launches, 140,000 copies, 2,100 plans and 31 times a CUDA context: about 60 s, four at a time.
 */
export const testSeconds = 40;

/** What is kept for the measurements, whatever the steps before take; and for the report's tables at the very end. */
export const measuringShare = 0.5;
export const closingSeconds = 8;

/** Seconds that a step may take now; 0 means that it is left out. */
export function limitOf(part: Part, total: number, left: number, measures: boolean): number {
  if (part === 'measure') return Math.max(0, left - closingSeconds);
  const kept = measures ? measuringShare * total : 0;
  return Math.max(0, Math.min(measures ? shares[part] * total : left, left - kept));
}

/**
 * Phases of the measurements, in order, with the seconds of each where there are the least, 230: half of 8 minutes without
 * the last ten. More are shared out alike; what a phase leaves is for those after it.
 *
 * Where the numbers are from: NVIDIA's cuDNN 9.28, planning without a GPU, builds a plan that needs no compilation in 1 to 2
 * ms, and compiles another in half a second; autotuning measures up to eight of those for a problem and two of these for
 * each of its recipes, which makes 20 s for ResNeXt-50's inference and 10 to 15 s for its training, and 27 s for the 54 that
 * the goal layers have. The rest is assumed, and to be seen on the first GPU: that PyTorch starts in 8 s, chooses among a
 * convolution's engines in 0.2 s, and compiles a network in 15 to 35 s.
 */
export const phaseSeconds = {
  /** PyTorch's start; peaks in 3 precisions; 48 cases: own kernels 0.1 s, cuDNN autotuned 0.6 s, PyTorch 0.3 s. */
  'goal layers': 8 + 3 * 2 + 48 * 1,
  /** 3 works: ours 2 s, PyTorch 6 s, since it chooses engines. */
  networks: 3 * (2 + 6),
  /** Inference at 256, training at 256, inference at 1; then 32, if these were quicker. */
  'autotuned networks': 20 + 12 + 18,
  /** Inference at 256 and at 1; then training, which takes longest. */
  'torch.compile': 17 + 15 + 32,
  /** 240 cases, untuned, 0.2 s for three rows: 48 s, of which half are here, and the rest where a step took less. */
  'other layers': 24,
  /** 7 works: ours 2 s, PyTorch 6 s: 56 s, if there are. */
  'other networks': 6,
} as const;
export type Phase = keyof typeof phaseSeconds;
export const lastPhase: Phase = 'other networks';

/** The part of the measurements' time that has passed when a phase has to end. */
export function endOf(phase: Phase): number {
  const names = Object.keys(phaseSeconds) as Phase[];
  const sum = (of: readonly Phase[]) => of.reduce((seconds, each) => seconds + phaseSeconds[each], 0);
  return sum(names.slice(0, names.indexOf(phase) + 1)) / sum(names);
}

/** How long one measurement lasts, and of how many samples it is. */
export const efforts = {
  'goal layers': { seconds: 0.04, samples: 5 },
  'other layers': { seconds: 0.01, samples: 2 },
  networks: { seconds: 0.6, samples: 5 },
  /** Layers of --shapes, to see that they run. */
  shapes: { seconds: 0.001, samples: 1 },
} as const;

/** Seconds that PyTorch may take for one answer: compiling a network takes longest. */
export const answerSeconds = { kernel: 20, network: 40, compile: 80 } as const;
/** A network is autotuned for so long at most. */
export const tuningSeconds = 30;
/** A process that has said nothing for so long is taken for dead; who waits for long, for good reasons, says so. */
export const silenceSeconds = 45;
export const pulseSeconds = 10;
