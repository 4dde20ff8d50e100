/** The benchmarks' command line: `npm run bench -- kernels|networks|training|sweep|overhead`; README.md says the rest. */
import { writeFileSync } from 'node:fs';
import { installation } from './contenders.js';
import { describeMachine, type Machine, machineLine } from './machine.js';
import { type Options, parseOptions, type Suite, usage } from './options.js';
import type { Report } from './report.js';
import { measureKernels } from './suites/kernels.js';
import { measureInference, measureSweep, measureTraining } from './suites/networks.js';
import { measureOverhead } from './suites/overhead.js';

const suites: Record<Suite, (options: Options) => Promise<Report>> = {
  kernels: measureKernels,
  networks: measureInference,
  training: measureTraining,
  sweep: measureSweep,
  overhead: measureOverhead,
};

function print({ title, table, versions, missing }: Report, machine: Machine, markdown: boolean): void {
  const others = Object.entries(versions).filter(([library]) => library !== 'groupconv');
  console.log(machineLine(machine));
  if (others.length) console.log(`beside ${others.map((entry) => entry.join(' ')).join(', ')}`);
  console.log(`${title}\n`);
  console.log(markdown ? table.markdown : table.text);
  for (const library of missing) console.log(`${library}: not installed; ${installation[library]}`);
}

async function main(options: Options): Promise<void> {
  const machine = describeMachine(options.threads);
  const report = await suites[options.suite](options);
  print(report, machine, options.markdown);
  const { title, versions, rows, chart } = report;
  if (options.json)
    writeFileSync(options.json, `${JSON.stringify({ title, machine, versions, rows }, null, 1)}\n`);
  if (options.svg) {
    if (!chart) throw new Error(`${options.suite} has no chart`);
    const { toSvg } = await import('./svg.js');
    writeFileSync(options.svg, `${await toSvg(chart)}\n`);
  }
}

let options: Options | undefined;
try {
  options = parseOptions(process.argv.slice(2));
} catch (error) {
  console.error(`${(error as Error).message}\n\n${usage}`);
  process.exitCode = 2;
}
if (options) await main(options);
