import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import {
  clearTuning,
  conv2d,
  crossEntropy,
  linear,
  loadTuning,
  randn,
  saveTuning,
  setAutotune,
  synchronize,
  tensor,
  zeros,
} from '../lib/index.js';
import { native } from '../lib/native.js';
import { skipsOffCpu } from './helpers/devices.js';
import { rejectsCode, throwsCode } from './helpers/errors.js';

const folder = mkdtempSync(join(tmpdir(), 'groupconv-tuning-'));
test.after.always(() => rmSync(folder, { recursive: true }));
test.afterEach(() => {
  setAutotune(false);
  clearTuning();
});

test.serial(
  'a convolution is measured once, its result stays right, and the choices survive a file',
  async (t) => {
    if (skipsOffCpu(t, "solvers are named as the CPU's")) return;
    const x = randn([2, 32, 9, 9], { requiresGrad: true });
    const weight = randn([32, 4, 3, 3], { requiresGrad: true });
    const y = conv2d(x.detach(), weight.detach(), { padding: 1, groups: 8 });
    t.is(native.tuning().length, 0);
    setAutotune(true);
    const tuned = conv2d(x.detach(), weight.detach(), { padding: 1, groups: 8 });
    t.is(native.tuning().length, 1);
    conv2d(x.detach(), weight.detach(), { padding: 1, groups: 8 }).dispose();
    t.is(native.tuning().length, 1, 'known by now');
    const [expected, actual] = [y.dataSync(), tuned.dataSync()];
    t.true(expected.every((value, i) => Math.abs(value - (actual[i] as number)) < 1e-4));

    const loss = conv2d(x, weight, { padding: 1, groups: 8 });
    loss.backward(tuned);
    t.is(native.tuning().length, 3, 'forward, gradInput, gradWeight');
    const [first] = native.tuning();
    t.is(first?.[0], 'conv2d');
    t.true(native.solvers('conv2d', -1).includes(first?.[3] as string));

    const path = join(folder, 'tuning.json');
    await saveTuning(path);
    const saved = native.tuning();
    clearTuning();
    t.is(native.tuning().length, 0);
    t.deepEqual(loadTuning(path), { taken: 3, unknown: 0 });
    t.deepEqual(native.tuning(), saved);
  },
);

test.serial('a loaded choice decides, autotuning on or off', async (t) => {
  if (skipsOffCpu(t, "solvers are named as the CPU's")) return;
  const x = randn([1, 32, 5, 5]);
  const weight = randn([32, 32, 1, 1]);
  setAutotune(true);
  conv2d(x, weight).dispose();
  setAutotune(false);
  const path = join(folder, 'chosen.json');
  await saveTuning(path);
  const file = JSON.parse(readFileSync(path, 'utf8'));
  for (const solver of ['pointwise', 'direct', 'reference']) {
    file.choices[0].solver = solver;
    writeFileSync(path, JSON.stringify(file));
    clearTuning();
    t.is(loadTuning(path).taken, 1);
    const y = conv2d(x, weight);
    native.forceSolver('conv2d', solver);
    const forced = conv2d(x, weight);
    native.forceSolver('conv2d', '');
    t.deepEqual(y.dataSync(), forced.dataSync(), solver);
  }
  file.choices[0].solver = 'depthwise'; // does not accept a dense 1x1: the list decides
  writeFileSync(path, JSON.stringify(file));
  t.is(loadTuning(path).taken, 1);
  const y = conv2d(x, weight);
  clearTuning();
  t.deepEqual(y.dataSync(), conv2d(x, weight).dataSync());
});

test.serial(
  'a linear layer is tuned like a convolution, each pass and number of rows for itself',
  async (t) => {
    if (skipsOffCpu(t, "solvers are named as the CPU's")) return;
    const x = randn([3, 4096], { requiresGrad: true }); // long sums, which tell solvers apart
    const weight = randn([7, 4096], { requiresGrad: true });
    setAutotune(true);
    const y = linear(x, weight);
    t.deepEqual(
      native.tuning().map(([op, , , solver]) => [op, solver]),
      [['linear', 'gemm']],
    );
    const measured = y.dataSync();
    y.backward(randn([3, 7]));
    t.is(native.tuning().length, 3, 'forward, gradInput, gradWeight');
    linear(x.detach(), weight.detach()).dispose();
    t.is(native.tuning().length, 3, 'known by now');
    linear(randn([4, 4096]), weight.detach()).dispose();
    t.is(native.tuning().length, 4);
    setAutotune(false);

    const path = join(folder, 'linear.json');
    await saveTuning(path);
    const file = JSON.parse(readFileSync(path, 'utf8'));
    for (const choice of file.choices) choice.solver = 'reference';
    writeFileSync(path, JSON.stringify(file));
    clearTuning();
    t.deepEqual(loadTuning(path), { taken: 4, unknown: 0 });
    const loaded = linear(x.detach(), weight.detach()).dataSync();
    native.forceSolver('linear', 'reference');
    t.deepEqual(loaded, linear(x.detach(), weight.detach()).dataSync());
    native.forceSolver('linear', '');
    t.notDeepEqual(loaded, measured);
  },
);

test.serial('a failure that is pending when a convolution is measured is still told', async (t) => {
  crossEntropy(zeros([1, 10]), tensor(Int32Array.of(10)));
  setAutotune(true);
  conv2d(randn([1, 8, 5, 5]), randn([8, 8, 3, 3])).dispose();
  await rejectsCode(t, 'INVALID_ARGUMENT', synchronize(), /label 10/);
});

test.serial('files that are no tuning, and unknown solvers', async (t) => {
  const path = join(folder, 'bad.json');
  const choice = { op: 'conv2d', place: 'cpu', problem: [1, 2], solver: 'direct' };
  for (const text of [
    '',
    'null',
    '[]',
    '{"format":"other","choices":[]}',
    '{"format":"groupconv tuning 1","choices":{}}',
    JSON.stringify({ format: 'groupconv tuning 1', choices: [choice, null] }),
    JSON.stringify({ format: 'groupconv tuning 1', choices: [{ ...choice, problem: [0.5] }] }),
    JSON.stringify({ format: 'groupconv tuning 1', choices: [{ ...choice, problem: [2 ** 31] }] }),
    JSON.stringify({ format: 'groupconv tuning 1', choices: [{ ...choice, solver: 1 }] }),
  ]) {
    writeFileSync(path, text);
    throwsCode(t, 'INVALID_FILE', () => loadTuning(path), /loadTuning: .*bad\.json/);
  }
  t.is(native.tuning().length, 0);
  writeFileSync(
    path,
    JSON.stringify({
      format: 'groupconv tuning 1',
      choices: [choice, { ...choice, solver: 'nobody' }, { ...choice, op: 'nothing' }],
    }),
  );
  t.deepEqual(loadTuning(path), { taken: 1, unknown: 2 });
  throwsCode(t, 'INVALID_FILE', () => loadTuning(join(folder, 'missing.json')), /no such file/);
  await rejectsCode(t, 'INVALID_FILE', saveTuning(join(folder, 'missing', 'tuning.json')), /saveTuning/);
  throwsCode(t, 'INVALID_ARGUMENT', () => setAutotune(1 as never), /true or false/);
});
