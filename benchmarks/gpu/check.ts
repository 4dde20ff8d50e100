/**
 * `npm run gpu:check`: everything that needs a GPU, in one command and within a fixed time. Builds for the GPU that is
 * there, runs the native tests (plainly and under compute-sanitizer) and the TypeScript suite on it, measures, and
 * writes a report. A step that fails or runs out of time doesn't stop the next one.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import type { Step } from './report.js';

const usage = `npm run gpu:check -- [--minutes n] [--out folder] [--only build,native,sanitizer,suite,measure] [--architecture 90]
  --minutes       time for all of it (8); measurements get what tests leave
  --out           where the report goes (benchmarks/results/gpu)
  --only          some of the steps
  --architecture  compute capability to build for, without its point; asked of nvidia-smi otherwise`;

const root = fileURLToPath(new URL('../../', import.meta.url));
const options = (() => {
  try {
    return parseArgs({
      options: {
        minutes: { type: 'string', default: '8' },
        out: { type: 'string', default: join(root, 'benchmarks', 'results', 'gpu') },
        only: { type: 'string', default: 'build,native,sanitizer,suite,measure' },
        architecture: { type: 'string' },
      },
    }).values;
  } catch (error) {
    console.error(`${(error as Error).message}\n\n${usage}`);
    process.exit(2);
  }
})();

const deadline = Date.now() + Number(options.minutes) * 60_000;
const secondsLeft = () => (deadline - Date.now()) / 1000;
const wanted = new Set(options.only.split(','));
const steps: Step[] = [];

/** Runs a command for at most so many seconds; its output is shown at the end of the step. */
function step(
  name: string,
  limit: number,
  command: string,
  args: string[],
  env: NodeJS.ProcessEnv = {},
): boolean {
  const start = Date.now();
  const timeout = Math.max(1, Math.min(limit, secondsLeft())) * 1000;
  console.log(`=== ${name}`);
  const { status, signal, stdout, stderr, error } = spawnSync(command, args, {
    cwd: root,
    env: { ...process.env, ...env },
    encoding: 'utf8',
    timeout,
    killSignal: 'SIGKILL',
    maxBuffer: 1 << 28,
  });
  const outcome =
    status === 0 ? 'passed' : signal ? `stopped after ${timeout / 1000} s` : `failed (${error ?? status})`;
  const tail = `${stdout ?? ''}${stderr ?? ''}`.trimEnd().split('\n').slice(-60).join('\n');
  steps.push({ name, outcome, seconds: (Date.now() - start) / 1000, tail });
  console.log(`${tail.split('\n').slice(-8).join('\n')}\n--- ${name}: ${outcome}`);
  return status === 0;
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
const onDevice = '(_cuda|^stream)_test$';

mkdirSync(options.out, { recursive: true });
if (wanted.has('build')) {
  step('the addon and its CUDA library', 240, 'bash', build('build'));
  step('the native tests', 240, 'bash', build(native, '-DGROUPCONV_ADDON=OFF', '-DGROUPCONV_TESTS=ON'));
}
if (wanted.has('native'))
  step('native tests on the GPU', 120, 'ctest', [
    '--test-dir',
    native,
    '-R',
    onDevice,
    '--output-on-failure',
  ]);
if (wanted.has('sanitizer')) {
  if (has('compute-sanitizer'))
    step('native tests under compute-sanitizer', 90, 'bash', [
      '-c',
      `failed=0; for test in ${native}/*_cuda_test ${native}/stream_test; do echo "$test"; ` +
        'compute-sanitizer --error-exitcode 1 --leak-check no "$test" || failed=1; done; exit $failed',
    ]);
  else
    steps.push({
      name: 'native tests under compute-sanitizer',
      outcome: 'compute-sanitizer is not here',
      seconds: 0,
    });
}
if (wanted.has('suite'))
  step('the TypeScript suite on the GPU', 150, process.execPath, ['node_modules/ava/entrypoints/cli.mjs'], {
    GROUPCONV_DEVICE: 'cuda',
  });
const stepsFile = join(options.out, 'steps.json');
writeFileSync(stepsFile, JSON.stringify(steps));
if (wanted.has('measure')) {
  const measure = [
    '--expose-gc',
    '--import',
    'tsx',
    join(root, 'benchmarks', 'gpu', 'measure.ts'),
    options.out,
  ];
  step('measurements', secondsLeft(), process.execPath, [
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
