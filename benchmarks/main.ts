/** The benchmarks' command line: `npm run bench -- kernels|networks|training|sweep|overhead`; README.md says the rest. */
import { writeFileSync } from 'node:fs';
import { installation } from './contenders.js';
import { bestPeak, describeMachine, type Machine, machineLine } from './machine.js';
import { type Options, parseOptions, type Suite, usage } from './options.js';
import { publish } from './publish.js';
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

/** Everything that a reader of the report has to know, the table last. */
function describe({ title, table, versions, missing }: Report, machine: Machine, markdown: boolean): string {
  const others = Object.entries(versions).filter(([library]) => library !== 'groupconv');
  return [
    `${title}.`,
    `${machineLine(machine)}.`,
    ...(others.length ? [`Beside ${others.map((entry) => entry.join(' ')).join(', ')}.`] : []),
    ...missing.map((library) => `${library}: not installed; ${installation[library]}`),
    '',
    markdown ? table.markdown : table.text,
  ].join('\n');
}

async function main(options: Options): Promise<void> {
  const machine = describeMachine(options.threads);
  const report = await suites[options.suite](options);
  machine.peakGflops = bestPeak(options.threads) / 1e9; // by now it has been measured many times
  console.log(describe(report, machine, options.markdown));
  const { title, versions, rows, chart } = report;
  if (options.json) {
    const command = process.argv.slice(2).join(' ');
    writeFileSync(options.json, `${JSON.stringify({ title, command, machine, versions, rows }, null, 1)}\n`);
  }
  const wantsChart = chart && (options.svg || options.publish);
  const svg = wantsChart ? await import('./svg.js').then(({ toSvg }) => toSvg(chart)) : null;
  if (options.svg) writeFileSync(options.svg, `${svg}\n`);
  if (options.publish) publish(options.publish, describe(report, machine, true), svg);
}

let options: Options | null | undefined;
try {
  options = parseOptions(process.argv.slice(2));
} catch (error) {
  console.error(`${(error as Error).message}\n\n${usage}`);
  process.exitCode = 2;
}
if (options) await main(options);
else if (options === null) console.log(usage);
