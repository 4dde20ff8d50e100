/**
 * Micro-benchmarks: `npm run bench -- kernels [--shapes resnext50_32x4d] [--filter text] [--batch n] [--threads n]
 * [--budget seconds] [--all] [--json file]`. Times are minima and medians; the peak is measured beside every row.
 */
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { native } from '../lib/native.js';
import { type KernelRow, measureKernels } from './kernels.js';
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

const [suite = 'kernels'] = positionals;
if (suite !== 'kernels' || !shapeSets().includes(values.shapes)) {
  console.error(`usage: npm run bench -- kernels [--shapes ${shapeSets().join('|')}] …`);
  process.exitCode = 2;
} else {
  const threads = Number(values.threads);
  const machine = describeMachine(threads);
  printMachine(machine);
  console.log(`${values.shapes}, batch ${values.batch}, float32, random inputs`);
  const rows = measureKernels({
    shapes: values.shapes,
    filter: values.filter,
    batch: Number(values.batch),
    threads,
    budget: Number(values.budget),
  });
  const shown = rows.filter((row) => values.all || row.chosen);
  console.log(kernelTable(shown));
  if (values.json) writeFileSync(values.json, `${JSON.stringify({ machine, rows }, null, 1)}\n`);
}
