import test from 'ava';
import {
  conv2d,
  dropout,
  manualSeed,
  noGrad,
  numThreads,
  rand,
  randn,
  setNumThreads,
  type Tensor,
  tensor,
  zeros,
} from '../lib/index.js';
import { defaultDevice } from './helpers/devices.js';
import { throwsCode } from './helpers/errors.js';
import { values } from './helpers/gradients.js';

const mean = (data: ArrayLike<number>) => Array.from(data).reduce((sum, v) => sum + v, 0) / data.length;

test.serial('seeded runs repeat, on every number of threads', (t) => {
  const threads = numThreads();
  const run = () => {
    manualSeed(42);
    return [rand([1000]), randn([3, 5, 7, 11]), dropout(rand([20, 30]), { p: 0.3 })].map((x) => x.dataSync());
  };
  const first = run();
  for (const count of [1, 2, 3]) {
    setNumThreads(count);
    t.deepEqual(run(), first);
  }
  setNumThreads(threads);
  manualSeed(43);
  t.notDeepEqual(rand([1000]).dataSync(), first[0]);
});

test.serial('numbers never change', (t) => {
  manualSeed(42); // as in native/ops/random/random.test.cpp
  t.deepEqual([...rand([3]).dataSync()], [0.612959862, 0.468586504, 0.0732316971].map(Math.fround));
  manualSeed(42);
  // Uniform numbers are equal on all devices, normal ones to the last digits of sine and logarithm.
  const expected = [-0.97018981, 0.19401896, -1.23562074].map(Math.fround);
  const normal = randn([3]).dataSync();
  if (defaultDevice === 'cpu') t.deepEqual([...normal], expected);
  t.true(expected.every((value, i) => Math.abs(value - normal[i]!) < 1e-6));
});

test.serial('a sequence may be taken in pieces', (t) => {
  manualSeed(7);
  const whole = randn([10]).dataSync();
  manualSeed(7);
  t.deepEqual([...randn([3]).dataSync(), ...randn([7]).dataSync()], [...whole]);
});

test('moments', (t) => {
  const normal = randn([200, 500]).dataSync();
  t.true(Math.abs(mean(normal)) < 0.02);
  t.true(Math.abs(mean(normal.map((v) => v * v)) - 1) < 0.03);
  const uniform = rand([200, 500]).dataSync();
  t.true(uniform.every((v) => v >= 0 && v < 1));
  t.true(Math.abs(mean(uniform) - 0.5) < 0.01);
  t.true(Math.abs(mean(uniform.map((v) => (v - 0.5) ** 2)) - 1 / 12) < 0.005);
});

test('options', (t) => {
  const x = randn([2, 3], { requiresGrad: true });
  t.true(x.requiresGrad);
  t.is(rand([4], { dtype: 'bfloat16' }).dtype, 'bfloat16');
  throwsCode(t, 'UNSUPPORTED', () => rand([4], { dtype: 'int32' }));
  throwsCode(t, 'INVALID_SHAPE', () => randn([0]));
  throwsCode(t, 'INVALID_ARGUMENT', () => randn([1], { seed: 1 } as never), /unknown option/);
  for (const seed of [-1, 0.5, 2 ** 53, Number.NaN])
    throwsCode(t, 'INVALID_ARGUMENT', () => manualSeed(seed));
});

test('dropout zeroes a share and scales the rest', (t) => {
  const x = tensor(
    values(1, [100, 200]).map((v) => v + 2),
    [100, 200],
  );
  const data = x.dataSync();
  const y = dropout(x, { p: 0.3 }).dataSync();
  const zeroed = y.filter((v) => v === 0).length / y.length;
  t.true(Math.abs(zeroed - 0.3) < 0.02);
  const scale = Math.fround(1 / 0.7);
  t.true(y.every((v, i) => v === 0 || Math.abs(v - data[i]! * scale) < 1e-6));
  t.deepEqual(dropout(x, { p: 0 }).dataSync(), data);
  t.true(
    dropout(x, { p: 1 })
      .dataSync()
      .every((v) => v === 0),
  );
  t.is(dropout(x, { training: false }), x);
});

test('the gradient of dropout has the same mask, in every layout', (t) => {
  const plain = tensor(values(1, [2, 19, 5, 3]), [2, 19, 5, 3], { requiresGrad: true });
  const weight = zeros([19, 19, 1, 1]);
  weight.set(weight.dataSync().map((_, i) => (i % 20 === 0 ? 1 : 0))); // the identity
  const blocked = noGrad(() => conv2d(plain, weight));
  blocked.requiresGrad = true;
  for (const x of [plain, blocked]) {
    const y = dropout(x, { p: 0.4 });
    const dy = tensor(values(2, y.shape), y.shape) as Tensor;
    y.backward(dy as never);
    const [out, gradient, upstream] = [y.dataSync(), x.grad!.dataSync(), dy.dataSync()];
    t.true(out.some((v) => v === 0));
    t.true(gradient.every((g, i) => (out[i] === 0 ? g === 0 : Math.abs(g - upstream[i]! / 0.6) < 1e-6)));
  }
});

test('wrong calls of dropout', (t) => {
  throwsCode(t, 'INVALID_ARGUMENT', () => dropout(zeros([2]), { p: 1.5 }), /from 0 to 1/);
  throwsCode(t, 'INVALID_ARGUMENT', () => dropout(zeros([2]), { rate: 1 } as never), /unknown option/);
  throwsCode(t, 'UNSUPPORTED', () => dropout(zeros([2], { dtype: 'int32' }) as never), /int32/);
});
