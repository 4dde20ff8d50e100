/**
 * `npm run gpu:check`: everything that needs a GPU, in one command and within a fixed time. Builds for the GPU that is
 * there, runs the native tests (plainly and under compute-sanitizer) and the TypeScript suite on it, measures, and
 * writes a report. A step that fails or runs out of time doesn't stop the next one.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import type { Step } from './report.js';

const parts = ['build', 'native', 'sanitizer', 'suite', 'measure'];
const usage = `npm run gpu:check -- [--minutes n] [--out folder] [--only ${parts.join(',')}] [--architecture 90]
  --minutes       time for all of it (8); measurements get what tests leave
  --out           where the report goes (benchmarks/results/gpu)
  --only          some of the steps
  --architecture  compute capability to build for, without its point; asked of nvidia-smi otherwise`;

const root = fileURLToPath(new URL('../../', import.meta.url));
const options = (() => {
  try {
    const { values } = parseArgs({
      options: {
        help: { type: 'boolean', default: false },
        minutes: { type: 'string', default: '8' },
        out: { type: 'string', default: join(root, 'benchmarks', 'results', 'gpu') },
        only: { type: 'string', default: parts.join(',') },
        architecture: { type: 'string' },
      },
    });
    if (values.help) {
      console.log(usage);
      process.exit(0);
    }
    if (!(Number(values.minutes) > 0))
      throw new Error(`--minutes: expected a number above 0, found "${values.minutes}"`);
    const only = values.only.split(',');
    const unknown = only.find((part) => !parts.includes(part));
    if (unknown !== undefined)
      throw new Error(`--only: expected some of ${parts.join(', ')}, found "${unknown}"`);
    return { ...values, minutes: Number(values.minutes), only: new Set(only) };
  } catch (error) {
    console.error(`${(error as Error).message}\n\n${usage}`);
    process.exit(2);
  }
})();

const deadline = Date.now() + options.minutes * 60_000;
const secondsLeft = () => (deadline - Date.now()) / 1000;
const steps: Step[] = [];

let running: ChildProcess | null = null;

/** Ends a step with all that it has started: a build or a test must not run on beside measurements. */
function endGroup(leader: ChildProcess | null): void {
  try {
    if (leader?.pid) process.kill(-leader.pid, 'SIGKILL');
  } catch {
    // Nobody of it is left.
  }
}
process.once('SIGINT', () => {
  endGroup(running);
  process.exit(130);
});

/** Runs a command for at most so many seconds; its output is shown at the end of the step. */
async function step(
  name: string,
  limit: number,
  command: string,
  args: string[],
  env: NodeJS.ProcessEnv = {},
): Promise<void> {
  const start = Date.now();
  const timeout = Math.max(1, Math.min(limit, secondsLeft())) * 1000;
  console.log(`=== ${name}`);
  const child = spawn(command, args, {
    cwd: root,
    env: { ...process.env, ...env },
    detached: true, // a process group of its own
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  running = child;
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => {
      output = (output + text).slice(-(1 << 16));
    });
  const timer = setTimeout(() => endGroup(child), timeout);
  const outcome = await new Promise<string>((resolve) => {
    child.on('error', (error) => resolve(`failed (${error.message})`));
    child.on('close', (status, signal) => {
      if (status === 0) resolve('passed');
      else
        resolve(
          signal ? `stopped after ${((Date.now() - start) / 1000).toFixed(0)} s` : `failed (${status})`,
        );
    });
  });
  clearTimeout(timer);
  running = null;
  const tail = output.trimEnd().split('\n').slice(-60).join('\n');
  steps.push({ name, outcome, seconds: (Date.now() - start) / 1000, tail });
  console.log(`${tail.split('\n').slice(-8).join('\n')}\n--- ${name}: ${outcome}`);
}

function architecture(): string | null {
  if (options.architecture) return options.architecture;
  const asked = spawnSync('nvidia-smi', ['--query-gpu=compute_cap', '--format=csv,noheader'], {
    encoding: 'utf8',
  });
  return asked.status === 0 ? (asked.stdout.split('\n')[0] as string).trim().replace('.', '') : null;
}

const has = (command: string) => spawnSync(command, ['--version']).status === 0;
const target = architecture();
if (!target) {
  console.log('gpu:check: no GPU here (nvidia-smi finds none)');
  process.exit(3);
}
const build = (folder: string, ...configuration: string[]) => [
  '-c',
  [
    `cmake -S . -B ${folder} -DGROUPCONV_CUDA=on -DGROUPCONV_CUDA_ARCHITECTURES=${target} ${configuration.join(' ')}`,
    `cmake --build ${folder} --parallel`,
  ].join(' && '),
];
const native = 'build-gpu-test';
// Programs of tests are named after their files: stream_test, conv2d_cuda_test, …
const onDevice = '(_cuda|^stream|^reduce|^relayout|^warp_matrix)_test$';

mkdirSync(options.out, { recursive: true });
if (options.only.has('build')) {
  await step('the addon and its CUDA library', 240, 'bash', build('build'));
  await step('the native tests', 240, 'bash', build(native, '-DGROUPCONV_ADDON=OFF', '-DGROUPCONV_TESTS=ON'));
}
if (options.only.has('native'))
  await step('native tests on the GPU', 120, 'ctest', [
    '--test-dir',
    native,
    '-R',
    onDevice,
    '--output-on-failure',
  ]);
if (options.only.has('sanitizer')) {
  if (has('compute-sanitizer'))
    await step('native tests under compute-sanitizer', 90, 'bash', [
      '-c',
      `failed=0; for test in ${native}/*_cuda_test ${native}/{stream,reduce,relayout,warp_matrix}_test; do echo "$test"; ` +
        'compute-sanitizer --error-exitcode 1 --leak-check no "$test" || failed=1; done; exit $failed',
    ]);
  else
    steps.push({
      name: 'native tests under compute-sanitizer',
      outcome: 'compute-sanitizer is not here',
      seconds: 0,
    });
}
if (options.only.has('suite'))
  await step(
    'the TypeScript suite on the GPU',
    150,
    process.execPath,
    ['node_modules/ava/entrypoints/cli.mjs'],
    {
      GROUPCONV_DEVICE: 'cuda',
    },
  );
const stepsFile = join(options.out, 'steps.json');
writeFileSync(stepsFile, JSON.stringify(steps));
if (options.only.has('measure')) {
  const measure = [
    '--expose-gc',
    '--import',
    'tsx',
    join(root, 'benchmarks', 'gpu', 'measure.ts'),
    options.out,
  ];
  await step('measurements', secondsLeft(), process.execPath, [
    ...measure,
    String(Math.max(20, secondsLeft() - 15)),
  ]);
}
console.log(
  `\n${steps.map(({ name, outcome, seconds }) => `${outcome.padEnd(8)} ${name} (${seconds.toFixed(0)} s)`).join('\n')}`,
);
process.exitCode = steps.every(({ outcome }) => outcome === 'passed' || outcome.endsWith('is not here'))
  ? 0
  : 1;
