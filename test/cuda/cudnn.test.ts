/**
 * What a program can say to cuDNN: on the emulated device, whose cuDNN is the tests' stand-in
 * (native/cuda/emulator/cudnn). Skipped where `npm run test:native` has not built both, unless
 * GROUPCONV_CUDA_TESTS=required.
 */
import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import test, { type ExecutionContext } from 'ava';
import * as lib from '../../lib/index.js';
import { native } from '../../lib/native.js';
import { throwsCode } from '../helpers/errors.js';

const built = join(dirname(dirname(dirname(fileURLToPath(import.meta.url)))), 'build-test', 'Release');
const [library, standin] = ['cuda_emulated', 'cudnn_standin'].map((name) =>
  join(built, `libgroupconv_${name}.so`),
) as [string, string];
// The addon looks for them when a test first asks for CUDA.
process.env.GROUPCONV_CUDA_LIBRARY = library;
process.env.GROUPCONV_CUDNN = standin;

const isBuilt = existsSync(library) && existsSync(standin);
if (!isBuilt) console.log(`    skipped: no ${library} or no ${standin}`);
const withStandin = isBuilt || process.env.GROUPCONV_CUDA_TESTS === 'required' ? test.serial : test.skip;

const folder = mkdtempSync(join(tmpdir(), 'groupconv-cudnn-'));
test.after.always(() => rmSync(folder, { recursive: true }));
test.afterEach(() => {
  lib.setAllowTF32(false);
  lib.setDeterministic(true);
  lib.setAutotune(false);
  lib.clearTuning();
});

/** The largest difference between a 1x1 convolution on 'cuda' and on the CPU. */
async function error(t: ExecutionContext, channels: number): Promise<number> {
  const values = (size: number) => Float32Array.from({ length: size }, (_, i) => Math.sin(1.7 * i + 0.3));
  const run = (device: 'cpu' | 'cuda') =>
    lib
      .conv2d(
        lib.tensor(values(channels * 20), [1, channels, 5, 4], { device }),
        lib.tensor(values(8 * channels), [8, channels, 1, 1], { device }),
      )
      .data();
  native.forceSolver('conv2d', '');
  const [expected, actual] = await Promise.all([run('cpu'), run('cuda')]);
  t.is(expected.length, 160);
  return Math.max(...expected.map((value, i) => Math.abs(value - (actual[i] as number))));
}

withStandin('devices() tells which cuDNN there is', (t) => {
  const cuda = lib.devices().find(({ device }) => device === 'cuda:0');
  t.is(cuda?.cudnn, '9.9.9');
  t.is(cuda?.cudnnPath, standin);
  t.true(native.solvers('conv2d', 0).includes('cudnn'));
});

withStandin('float32 is float32 until TF32 is allowed', async (t) => {
  t.true((await error(t, 16)) < 1e-5);
  lib.setAllowTF32(true);
  const rounded = await error(t, 16);
  t.true(rounded > 1e-5 && rounded < 1e-2, `${rounded}`);
  lib.setAllowTF32(false);
  t.true((await error(t, 16)) < 1e-5);
});

withStandin('measured engines are saved with the solvers, and loaded', async (t) => {
  lib.setAutotune(true);
  t.true((await error(t, 24)) < 1e-5);
  const found = native.tuning().filter(([op]) => op === 'cudnn');
  t.is(found.length, 1);
  const [, place, problem, engine] = found[0] as (typeof found)[0];
  t.is(place, 'cuda emulated device cuDNN 9.9.9');
  t.is(problem[3], 24, 'channels');
  t.is(engine, 'plain engine 2');

  const path = join(folder, 'tuning.json');
  await lib.saveTuning(path);
  const saved = native.tuning();
  lib.clearTuning();
  t.is(lib.loadTuning(path).unknown, 0);
  t.deepEqual(native.tuning(), saved);
});

withStandin('cuDNN that does not start is done without, and told', async (t) => {
  const script = `
    import { conv2d, devices, randn } from ${JSON.stringify(new URL('../../lib/index.ts', import.meta.url).href)};
    const told = () => devices().find(({ device }) => device === 'cuda:0')?.cudnnReason ?? '';
    const before = told();
    const y = conv2d(randn([1, 16, 5, 5], { device: 'cuda' }), randn([8, 16, 1, 1], { device: 'cuda' }));
    const { length } = await y.data();
    console.log(JSON.stringify({ before, length, after: told() }));`;
  const options = { env: { ...process.env, GROUPCONV_STANDIN_FAILING_STARTS: '2' } };
  const args = ['--import=tsx', '--input-type=module', '-e', script];
  const { stdout } = await promisify(execFile)(process.execPath, args, options);
  const { before, length, after } = JSON.parse(stdout);
  t.is(before, '');
  t.is(length, 200, 'it is computed all the same');
  t.regex(after, /^cuDNN does not start: cuDNN: handle: /);
});

test('switches take true or false', (t) => {
  throwsCode(t, 'INVALID_ARGUMENT', () => lib.setAllowTF32('on' as never), /setAllowTF32: .*on/);
  throwsCode(t, 'INVALID_ARGUMENT', () => lib.setDeterministic(1 as never), /setDeterministic: .*1/);
});
