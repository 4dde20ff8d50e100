import { cpus } from 'node:os';
import { native } from '../lib/native.js';

/** What a timing depends on; part of every report. */
export interface Machine {
  cpu: string;
  cores: number;
  isa: string;
  threads: number;
  node: string;
  peakGflops: number;
  bandwidthGigabytes: number;
}

export function describeMachine(threads: number): Machine {
  return {
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: cpus().length,
    isa: native.isa(),
    threads,
    node: process.version,
    // The best of many: freshly made threads share a core for a while.
    peakGflops: Math.max(...Array.from({ length: 10 }, () => native.measurePeak(threads))) / 1e9,
    bandwidthGigabytes: native.measureBandwidth(threads) / 1e9,
  };
}

export function printMachine(machine: Machine): void {
  console.log(
    `${machine.cpu}, ${machine.cores} cores, ${machine.isa}, ${machine.threads} threads, node ${machine.node}; ` +
      `float32 multiply-add peak ${machine.peakGflops.toFixed(0)} GFLOP/s, ` +
      `copy bandwidth ${machine.bandwidthGigabytes.toFixed(1)} GB/s`,
  );
}

/** Text in aligned columns: words to the left, numbers to the right. */
export function formatTable(header: string[], rows: (string | number)[][]): string {
  const cells = [header, ...rows.map((row) => row.map(String))];
  const widths = header.map((_, column) => Math.max(...cells.map((row) => (row[column] as string).length)));
  const isNumber = header.map((_, column) =>
    rows.every((row) => typeof row[column] === 'number' || /^[\d.]+$/.test(String(row[column]))),
  );
  return cells
    .map((row) =>
      row
        .map((cell, column) =>
          isNumber[column] ? cell.padStart(widths[column] ?? 0) : cell.padEnd(widths[column] ?? 0),
        )
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}
