/**
 * `npm run gpu:check`: everything that needs a GPU, in one command and within a fixed time. Builds for the GPU that is
 * there, runs the native tests (plainly and under compute-sanitizer) and the TypeScript suite on it, measures, and
 * writes a report. A step that fails or runs out of time doesn't stop the next one.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { askLibrary, chooseGpu, listGpus, otherArchitecture } from './device.js';
import { readReport, reportFile, withoutFailures, writeReport } from './ledger.js';
import { limitOf, type Part, parts, silenceSeconds, testSeconds } from './plan.js';
import { render } from './render.js';
import { type Step, toConsole } from './report.js';
import { onDevice } from './sanitizer.js';
import { runStep, type StepOptions } from './step.js';
import { findTool } from './toolkit.js';

const usage = `npm run gpu:check -- [--minutes n] [--out folder] [--only ${parts.join(',')}] [--architecture 90]
  --minutes       time for all of it (8); half of it and what tests leave is the measurements'
  --out           where the report goes (benchmarks/results/gpu)
  --only          some of the steps
  --continue      adds to the report that is there what it lacks, or what failed, instead of beginning anew
  --shapes        measures these layers (a file of benchmarks/shapes) at batch 1, and nothing else
  --architecture  compute capability to build for, without its point; asked of nvidia-smi otherwise. Of several GPUs all
                  steps use the first in CUDA_VISIBLE_DEVICES, else the newest
  --render file   only draws report.md and report.svg anew from a report.json, on any machine`;

const root = fileURLToPath(new URL('../../', import.meta.url));
const here = (file: string) => join(root, 'benchmarks', 'gpu', file);
const options = (() => {
  try {
    const { values } = parseArgs({
      options: {
        help: { type: 'boolean', default: false },
        minutes: { type: 'string', default: '8' },
        out: { type: 'string', default: join(root, 'benchmarks', 'results', 'gpu') },
        only: { type: 'string', default: parts.join(',') },
        continue: { type: 'boolean', default: false },
        shapes: { type: 'string' },
        architecture: { type: 'string' },
        render: { type: 'string' },
      },
    });
    if (values.help) {
      console.log(usage);
      process.exit(0);
    }
    if (!(Number(values.minutes) > 0))
      throw new Error(`--minutes: expected a number above 0, found "${values.minutes}"`);
    const only = values.only.split(',');
    const unknown = only.find((part) => !parts.includes(part as Part));
    if (unknown !== undefined)
      throw new Error(`--only: expected some of ${parts.join(', ')}, found "${unknown}"`);
    if (values.render !== undefined && !existsSync(values.render))
      throw new Error(`--render: there is no ${values.render}`);
    return { ...values, minutes: Number(values.minutes), only: new Set(only as Part[]) };
  } catch (error) {
    console.error(`${(error as Error).message}\n\n${usage}`);
    process.exit(2);
  }
})();
if (options.render !== undefined) {
  const folder = options.render.endsWith('.json') ? dirname(options.render) : options.render;
  console.log(`${toConsole(readReport(folder))}\n\n${(await render(folder)) ?? `drawn in ${folder}`}`);
  process.exit(0);
}

const total = options.minutes * 60;
const began = Date.now();
const secondsLeft = () => total - (Date.now() - began) / 1000;
const has = (command: string) => spawnSync(command, ['--version']).status === 0;

const gpus = listGpus();
const visible = process.env.CUDA_VISIBLE_DEVICES;
const chosen = chooseGpu(gpus, visible);
const target = options.architecture ?? chosen?.gpu.architecture;
if (!target) {
  const names = gpus.map(({ index, uuid, name }) => `${index} ${uuid} ${name}`).join('; ');
  console.log(
    names
      ? `gpu:check: CUDA_VISIBLE_DEVICES=${visible} is none of ${names}`
      : 'gpu:check: no GPU here (nvidia-smi finds none)',
  );
  process.exit(3);
}
if (chosen) console.log(`gpu:check: on ${chosen.gpu.name}, ${chosen.gpu.uuid}`);

if (!options.continue) rmSync(reportFile(options.out), { force: true });
else writeReport(options.out, withoutFailures(readReport(options.out)));
/** Steps are written down at once; one that is run again replaces what it was. */
function note({ name, outcome, seconds, tail }: Step): void {
  const report = readReport(options.out);
  const others = report.steps.filter((step) => step.name !== name);
  writeReport(options.out, { ...report, steps: [...others, { name, outcome, seconds, tail }] });
}
const ran: Step[] = [];

/** One part, if it was asked for and there is time for it. */
async function part(
  which: Part,
  name: string,
  command: readonly [string, ...string[]],
  more: Partial<StepOptions> = {},
) {
  if (!options.only.has(which)) return null;
  const limit = limitOf(which, total, secondsLeft(), options.only.has('measure'));
  const step =
    limit < 1
      ? { name, outcome: 'no time left', seconds: 0, status: null }
      : await runStep(name, command, { limit, cwd: root, ...more });
  ran.push(step);
  note(step);
  return step;
}

// A folder of its own: the addon here has one instruction set of the CPU, which builds in a third of the time.
const folder = 'build-gpu';
async function build(architecture: string) {
  const configuration = [
    '-DGROUPCONV_CUDA=on',
    `-DGROUPCONV_CUDA_ARCHITECTURES=${architecture}`,
    '-DGROUPCONV_TESTS=ON',
    ...(process.arch === 'x64' ? ['-DGROUPCONV_ONLY_ISA=avx2'] : []),
    ...(has('ninja') ? ['-G', 'Ninja'] : []),
  ].join(' ');
  const targets = 'groupconv_addon groupconv_cuda groupconv_cuda_tests';
  await part('build', `the addon, its CUDA library and the native tests, for architecture ${architecture}`, [
    'bash',
    '-c',
    `cmake -S . -B ${folder} ${configuration} && cmake --build ${folder} --parallel --target ${targets}`,
  ]);
}
await build(target);
const addon = join(root, folder, 'Release', 'groupconv.node');
const env = { ...chosen?.env, ...(existsSync(addon) && { GROUPCONV_NATIVE: addon }) };

// Whatever nvidia-smi has told, this is what runs the tests and is measured.
if (existsSync(addon)) {
  const found = askLibrary(env);
  const other = otherArchitecture(target, found);
  const what = found?.name ? `cuda:0 is ${found.name}` : `no cuda:0: ${found?.reason ?? 'the library fails'}`;
  const outcome = other ? `built for ${target}, and has ${other}` : found?.name ? 'passed' : what;
  console.log(`gpu:check: ${what}; the build is for ${target}`);
  if (other && !options.architecture && options.only.has('build')) await build(other);
  else note({ name: 'the device', outcome, seconds: 0, tail: what });
}
const node = (...args: string[]) => [process.execPath, '--import', 'tsx', ...args] as const;

await part(
  'native',
  'native tests on the GPU',
  [
    ...(['ctest', '--test-dir', folder, '-R', onDevice.source] as const),
    ...['--parallel', '4', '--timeout', String(testSeconds), '--output-on-failure'],
  ],
  { env: { ...env, GROUPCONV_CUDA_TESTS: 'required' } }, // without a device they fail, instead of being skipped
);
const sanitizerSeconds = limitOf('sanitizer', total, secondsLeft(), options.only.has('measure')) - 5;
const sanitizer = findTool('compute-sanitizer', { root, build: join(root, folder) });
const sanitizing = 'native tests under compute-sanitizer';
if (sanitizer.path)
  await part(
    'sanitizer',
    sanitizing,
    node(here('sanitizer.ts'), folder, sanitizerSeconds.toFixed(0), sanitizer.path),
    { env },
  );
else if (options.only.has('sanitizer'))
  note({
    name: sanitizing,
    outcome: `not run: it is neither on PATH nor in ${sanitizer.folders.join(', ')}`,
    seconds: 0,
  });
const suites = ['ops', 'modules', 'models', 'tensor.test.ts', 'devices.test.ts', 'mixedPrecision.test.ts'];
suites.push('optim.test.ts', 'optim.gradScaler.test.ts', 'random.test.ts', 'memory.test.ts');
suites.push('capture.test.ts', 'tuning.test.ts', 'workers.test.ts', 'training/fit.test.ts');
await part(
  'suite',
  'the TypeScript suite on the GPU',
  [process.execPath, 'node_modules/ava/entrypoints/cli.mjs', ...suites.map((suite) => `test/${suite}`)],
  { env: { ...env, GROUPCONV_DEVICE: 'cuda' } },
);

/** A device that has failed, or a process that has died, costs one row: the next process goes on behind it. */
async function measure(): Promise<void> {
  const start = Date.now();
  const seconds = limitOf('measure', total, secondsLeft(), true) - 2;
  const told: string[] = [];
  for (let tries = 0; tries < 20; ++tries) {
    const step = await part(
      'measure',
      'measurements',
      [
        ...node('--expose-gc', here('measure.ts'), options.out, '--seconds', seconds.toFixed(0)),
        ...['--began', String(start), '--ended', told.at(-1) ?? 'the process ended'],
        ...(options.shapes ? ['--shapes', options.shapes] : []),
      ],
      { silence: silenceSeconds, env },
    );
    if (!step || step.outcome === 'passed' || step.status === 1 || step.status === 3) return;
    told.push(step.outcome);
    if (secondsLeft() < 20) return;
  }
}
await measure();

const chart = await render(options.out);
const report = readReport(options.out);
console.log(`\n${chart ?? `the report is in ${options.out}`}\n\n${toConsole(report)}`);
process.exitCode = ran.every(({ outcome }) => outcome === 'passed') ? 0 : 1;
