/** How gpu:check spends its time. */

/** Steps before the measurements, with the share of the whole time that each may take at most. */
export const shares = { build: 0.42, native: 0.1, sanitizer: 0.14, suite: 0.14 } as const;
export type Part = keyof typeof shares | 'measure';
export const parts: readonly Part[] = [...(Object.keys(shares) as (keyof typeof shares)[]), 'measure'];

/** What is kept for the measurements, whatever the steps before take; and for the report's tables at the very end. */
export const measuringShare = 0.5;
export const closingSeconds = 8;

/** Seconds that a step may take now; 0 means that it is left out. */
export function limitOf(part: Part, total: number, left: number, measures: boolean): number {
  if (part === 'measure') return Math.max(0, left - closingSeconds);
  const kept = measures ? measuringShare * total : 0;
  return Math.max(0, Math.min(measures ? shares[part] * total : left, left - kept));
}

/** Phases of the measurements, in order, with the part of their time that has passed when each has to end. */
export const phases = {
  /** What the layers' goals are about. */
  'goal layers': 0.45,
  networks: 0.65,
  'autotuned networks': 0.78,
  'other layers': 0.88,
  /** Last, because it compiles for a minute and more. */
  'torch.compile': 1,
} as const;
export type Phase = keyof typeof phases;

/** Seconds that PyTorch may take for one answer: compiling a network takes longest. */
export const answerSeconds = { kernel: 20, network: 40, compile: 80 } as const;
/** A process that has said nothing for so long is taken for dead; who waits for long, for good reasons, says so. */
export const silenceSeconds = 45;
