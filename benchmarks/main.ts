/**
 * Micro-benchmarks. Times are minima and medians; the peak is measured beside every row.
 *
 *   npm run bench -- kernels [--shapes resnext50_32x4d] [--filter text] [--batch n] [--budget seconds] [--all]
 *   npm run bench -- networks [--repeats n]
 *   either: [--threads n] [--json file]
 */
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { setNumThreads } from '../lib/index.js';
import { native } from '../lib/native.js';
import { type KernelRow, measureKernels } from './kernels.js';
import { measureNetworks, type NetworkRow } from './networks.js';
import { describeMachine, formatTable, printMachine } from './report.js';
import { shapeSets } from './shapes.js';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    shapes: { type: 'string', default: 'resnext50_32x4d' },
    filter: { type: 'string', default: '' },
    batch: { type: 'string', default: '1' },
    threads: { type: 'string', default: String(native.threads()) },
    budget: { type: 'string', default: '0.1' },
    repeats: { type: 'string', default: '10' },
    all: { type: 'boolean', default: false },
    json: { type: 'string' },
  },
});

function kernelTable(rows: KernelRow[]): string {
  return formatTable(
    ['layer', 'pass', 'solver', 'min us', 'median us', 'GFLOP/s', '% of peak', 'GB/s'],
    rows.map((row) => [
      row.layer,
      row.pass,
      row.solver,
      (row.minSeconds * 1e6).toFixed(1),
      (row.medianSeconds * 1e6).toFixed(1),
      row.gflops.toFixed(1),
      row.percentOfPeak.toFixed(1),
      row.gigabytesPerSecond.toFixed(1),
    ]),
  );
}

async function networkSuite(threads: number): Promise<NetworkRow[]> {
  setNumThreads(threads);
  const rows = await measureNetworks(threads, [1, 8], Number(values.repeats));
  console.log(
    formatTable(
      ['network', 'work', 'batch', 'min ms', 'median ms', 'images/s', '% of peak', 'peak MB'],
      rows.map((row) => [
        row.network,
        row.work,
        row.batch,
        row.minMs.toFixed(1),
        row.medianMs.toFixed(1),
        row.imagesPerSecond.toFixed(1),
        row.percentOfPeak.toFixed(1),
        (row.peakBytes / 1e6).toFixed(0),
      ]),
    ),
  );
  return rows;
}

function kernelSuite(threads: number): KernelRow[] {
  console.log(`${values.shapes}, batch ${values.batch}, float32, random inputs`);
  const rows = measureKernels({
    shapes: values.shapes,
    filter: values.filter,
    batch: Number(values.batch),
    threads,
    budget: Number(values.budget),
  });
  console.log(kernelTable(rows.filter((row) => values.all || row.chosen)));
  return rows;
}

const [suite = 'kernels'] = positionals;
if (!['kernels', 'networks'].includes(suite) || !shapeSets().includes(values.shapes)) {
  console.error(`usage: npm run bench -- kernels|networks [--shapes ${shapeSets().join('|')}] …`);
  process.exitCode = 2;
} else {
  const threads = Number(values.threads);
  const machine = describeMachine(threads);
  printMachine(machine);
  const rows = suite === 'kernels' ? kernelSuite(threads) : await networkSuite(threads);
  if (values.json) writeFileSync(values.json, `${JSON.stringify({ machine, rows }, null, 1)}\n`);
}
