/**
 * Native tests under compute-sanitizer: sanitizer.ts <folder of the tests> <seconds> [its path]. Wrong addresses
 * everywhere; races, barriers and uninitialised memory in a few tests of the kernels that share memory between threads.
 * The most important come first; tests that take too long under a tool count as unfinished, not as failures.
 */
import { spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { endGroup } from './group.js';

const tools = ['racecheck', 'synccheck', 'initcheck'] as const;
const sharing = [
  'grouped3x3_cuda_test',
  'grouped3x3_fma_cuda_test',
  'depthwise_cuda_test',
  'reduce_test',
  'batchNorm_cuda_test',
];
/** Programs of tests that use the GPU are named after their files. */
export const onDevice =
  /(_cuda|^memory|^relayout|^stream|^reduce|^warp_matrix|^shared_memory|^captures|^cudnn_session|^failure)_test$/;
/** It fails on purpose. */
const unfit = 'failure_test';

export interface Check {
  tool: 'memcheck' | (typeof tools)[number];
  program: string;
}

/** What to run, the most important first. @param programs all that there are */
export function checksOf(programs: readonly string[]): Check[] {
  const selected = sharing.filter((program) => programs.includes(program));
  const others = programs.filter(
    (program) => onDevice.test(program) && program !== unfit && !selected.includes(program),
  );
  return [
    ...selected.map((program) => ({ tool: 'memcheck' as const, program })),
    ...tools.flatMap((tool) => selected.map((program) => ({ tool, program }))),
    ...others.sort().map((program) => ({ tool: 'memcheck' as const, program })),
  ];
}

interface Finding extends Check {
  outcome: 'clean' | 'FOUND' | 'unfinished';
  seconds: number;
  output: string;
}

function run(sanitizer: string, { tool, program }: Check, folder: string, limit: number): Promise<Finding> {
  const start = Date.now();
  // Tests ask for more memory than there is: an API's refusal is no finding.
  const options = ['--tool', tool, '--error-exitcode', '1', '--report-api-errors', 'no'];
  const child = spawn(sanitizer, [...options, join(folder, program)], {
    detached: true, // a process group of its own: the tool's and the test's process
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => {
      output = (output + text).slice(0, 1 << 14); // the first findings matter
    });
  const timer = setTimeout(() => endGroup(child), limit * 1000);
  return new Promise((resolve) => {
    const end = (outcome: Finding['outcome']) => {
      clearTimeout(timer);
      resolve({ tool, program, outcome, seconds: (Date.now() - start) / 1000, output });
    };
    child.on('error', () => end('FOUND'));
    child.on('close', (status) => end(status === 0 ? 'clean' : status === null ? 'unfinished' : 'FOUND'));
  });
}

async function main(folder: string, seconds: number, sanitizer: string): Promise<void> {
  const deadline = Date.now() + seconds * 1000;
  const left = () => (deadline - Date.now()) / 1000;
  const waiting = checksOf(readdirSync(folder));
  const findings: Finding[] = [];
  const worker = async () => {
    for (let next = waiting.shift(); next && left() > 1; next = waiting.shift()) {
      const finding = await run(sanitizer, next, folder, Math.min(left(), seconds / 2));
      findings.push(finding);
      const { tool, program, outcome } = finding;
      console.log(`${outcome.padEnd(10)} ${tool.padEnd(9)} ${program} (${finding.seconds.toFixed(0)} s)`);
    }
  };
  await Promise.all(Array.from({ length: Math.min(6, Math.ceil(availableParallelism() / 2)) }, worker));
  const found = findings.filter(({ outcome }) => outcome === 'FOUND');
  for (const { tool, program, output } of found)
    console.log(`\n${tool} ${program}:\n${output.split('\n').slice(0, 12).join('\n')}`);
  const count = (outcome: Finding['outcome']) =>
    findings.filter((finding) => finding.outcome === outcome).length;
  console.log(
    `${count('clean')} clean, ${found.length} with findings, ${count('unfinished')} unfinished, ${waiting.length} not begun`,
  );
  process.exitCode = found.length || !count('clean') ? 1 : 0;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [folder = '.', seconds = '60', sanitizer = 'compute-sanitizer'] = process.argv.slice(2);
  await main(folder, Number(seconds), sanitizer);
}
