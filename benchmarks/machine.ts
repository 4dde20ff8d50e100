import { cpus, totalmem } from 'node:os';
import { native } from '../lib/native.js';

/** What a timing depends on; part of every report. */
export interface Machine {
  cpu: string;
  cores: number;
  memoryGigabytes: number;
  isa: string;
  threads: number;
  node: string;
  /** float32 multiply-add peak of `threads` threads. */
  peakGflops: number;
  /** Copying beyond the caches, bytes read plus written. */
  bandwidthGigabytes: number;
}

const bestPeaks = new Map<number, number>();

/** The best that {@link measurePeak} ever saw in this process: what a core that others hold all the time can't hide. */
export const bestPeak = (threads: number): number => bestPeaks.get(threads) ?? 0;

/**
 * FLOP/s; the best of several looks of some 10 ms, because whatever else the machine does takes from a single one. Short
 * of the best so far there are more: threads that wake up on one core are moved apart after a tenth of a second.
 */
export function measurePeak(threads: number, looks: number, most = 8 * looks): number {
  let peak = 0;
  for (let i = 0; i < looks || (i < most && peak < 0.97 * bestPeak(threads)); i++)
    peak = Math.max(peak, native.measurePeak(threads));
  bestPeaks.set(threads, Math.max(peak, bestPeak(threads)));
  return peak;
}

export function describeMachine(threads: number): Machine {
  return {
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: cpus().length,
    memoryGigabytes: totalmem() / 2 ** 30,
    isa: native.isa(),
    threads,
    node: process.version,
    peakGflops: measurePeak(threads, 30) / 1e9, // freshly made threads share a core for a while
    bandwidthGigabytes: native.measureBandwidth(threads) / 1e9,
  };
}

export function machineLine(machine: Machine): string {
  return (
    `${machine.cpu}, ${machine.cores} cores, ${machine.memoryGigabytes.toFixed(0)} GiB, ${machine.isa}, ` +
    `${machine.threads} threads, node ${machine.node}; float32 multiply-add peak ${machine.peakGflops.toFixed(0)} ` +
    `GFLOP/s, copy bandwidth ${machine.bandwidthGigabytes.toFixed(1)} GB/s`
  );
}
