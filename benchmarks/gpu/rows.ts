/** What is measured, and the rows that say how fast it was. Needs no addon: reports are made without one, too. */

export const passes = ['forward', 'gradInput', 'gradWeight'] as const;
export type Pass = (typeof passes)[number];
/** A dtype, or float32 with factors rounded to TF32 for the tensor cores. */
export type Precision = 'bfloat16' | 'float16' | 'tf32' | 'float32';

/** What tells one row of the report from the others. */
export interface KernelIdentity {
  layer: string;
  batch: number;
  precision: Precision;
  pass: Pass;
  /** A solver's name, or PyTorch. */
  by: string;
}
export interface KernelRow extends KernelIdentity {
  /** Median of one run; missing where there was a failure. */
  seconds?: number;
  failure?: string;
  /** cuDNN's engine with its settings, the fastest of those that it offers. */
  engine?: string;
  /** All of them that were measured, the fastest first. */
  engines?: { name: string; seconds: number }[];
  /** cuDNN's own first choice, or PyTorch's: its engines were not measured. */
  untuned?: true;
  /** What the pass has to move and to compute at least. */
  bytes: number;
  flops: number;
}

export interface NetworkIdentity {
  network: string;
  work: 'inference' | 'training';
  n: number;
  precision: Precision;
  by: string;
}
export interface NetworkRow extends NetworkIdentity {
  /** Median of one run; missing where there was a failure. */
  seconds?: number;
  peakMegabytes?: number;
  failure?: string;
  /** What is special about it. */
  note?: string;
}
/** How PyTorch can run a network, and what it is called then. */
export const torchModes = { eager: 'PyTorch eager', captured: 'PyTorch captured', compile: 'torch.compile' };
export type TorchMode = keyof typeof torchModes;
export const isOurs = ({ by }: { by: string }): boolean => by.startsWith('groupconv');

/** What the device can do at most in large products. */
export interface MatrixRate {
  precision: Precision;
  /** Who multiplied. */
  by: string;
  teraflops: number;
}
