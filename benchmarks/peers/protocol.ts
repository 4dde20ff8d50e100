/**
 * What the harness and a contender say to each other: a JSON object a line, a request to the contender's standard
 * input, its answer from the standard output. A contender prepares one piece of work at a time and runs it when asked:
 *
 *   {"command": "describe", "threads": 2}                       {"version": "1.13.1"}
 *   {"command": "prepare", "variant": "channels_last", …work}   {"probe": [0.12, …], "detail": "jit:avx512"}
 *   {"command": "run", "seconds": 0.4, "atLeast": 2}            {"samples": [0.0412, …]}
 *   anything that fails                                         {"error": "why"}
 *
 * `probe` holds up to {@link probeSize} evenly spaced values of the result, so that the harness can see that all
 * contenders compute the same; of a training step, the losses of the first three. Inputs and weights are hashed
 * (test/golden/README.md), not sent. Requests are flat and strings have no escapes: the C++ peer parses them itself.
 */
import { createInterface } from 'node:readline';
import type { Layer } from '../shapes.js';

export const probeSize = 512;
export const passes = ['forward', 'gradInput', 'gradWeight'] as const;
export type Pass = (typeof passes)[number];

/** One pass of one convolution: seeds 0, 1 and 2 are x, weight and dy. */
export interface LayerWork extends Omit<Layer, 'name'> {
  work: 'layer';
  pass: Pass;
  n: number;
}

/** A whole network. `state` and `input` are seeds; labels are 0, 1, … n - 1. */
export interface NetworkWork {
  work: 'inference' | 'training';
  family: 'resnet' | 'mobilenet';
  blocks: number[];
  cardinality: number;
  width: number;
  n: number;
  size: number;
  state: number;
  input: number;
  lr: number;
  momentum: number;
  /** The network as an ONNX file, for those who read that. */
  file: string;
}

export type Work = LayerWork | NetworkWork;

export type Request =
  | { command: 'describe'; threads: number }
  | ({ command: 'prepare'; variant: string } & Work)
  | ({ command: 'export'; variant: string } & NetworkWork)
  | { command: 'run'; seconds: number; atLeast: number };

export interface Answer {
  error?: string;
  version?: string;
  probe?: number[];
  detail?: string;
  samples?: number[];
}

/** Up to {@link probeSize} evenly spaced values. */
export function probeOf(values: ArrayLike<number>): number[] {
  const count = Math.min(probeSize, values.length);
  return Array.from({ length: count }, (_, i) => values[Math.floor((i * values.length) / count)] as number);
}

/** Answers requests one after the other until the input ends. */
export async function serve(answer: (request: Request) => Promise<Answer>): Promise<void> {
  for await (const line of createInterface({ input: process.stdin })) {
    const reply = await answer(JSON.parse(line)).catch((error) => ({ error: (error as Error).message }));
    globalThis.gc?.(); // what preparing left behind is not the library's memory
    process.stdout.write(`${JSON.stringify(reply)}\n`);
  }
}

/** Runs `work` until `seconds` have passed, at least `atLeast` times; the seconds of each run. */
export async function timed(
  work: () => Promise<unknown>,
  { seconds, atLeast }: { seconds: number; atLeast: number },
): Promise<number[]> {
  const samples: number[] = [];
  const begin = performance.now();
  while (samples.length < atLeast || performance.now() - begin < 1000 * seconds) {
    const start = performance.now();
    await work();
    samples.push((performance.now() - start) / 1000);
  }
  return samples;
}
