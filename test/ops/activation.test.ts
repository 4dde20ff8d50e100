import test from 'ava';
import {
  hardsigmoid,
  hardswish,
  memory,
  relu,
  relu6,
  type Shape,
  sigmoid,
  silu,
  type Tensor,
  tensor,
  zeros,
} from '../../lib/index.js';
import { throwsCode } from '../helpers/errors.js';
import { checkGoldenOp } from '../helpers/goldenOps.js';
import { directionalError, values } from '../helpers/gradients.js';
import { settled } from '../helpers/memory.js';

test.serial.beforeEach(settled); // what earlier tests forgot is not to vanish while memory is compared

const functions = { relu, relu6, sigmoid, silu, hardsigmoid, hardswish };

for (const [name, f] of Object.entries(functions)) {
  test(`${name} follows PyTorch`, (t) => checkGoldenOp(t, name, ({ x }) => f(x as Tensor)));

  test.serial(`${name}: memory returns to where it was`, (t) => {
    const before = memory().bytes;
    {
      const shape = [2, 21, 3, 5] as const;
      using x = tensor(values(1, shape, 4), shape, { requiresGrad: true });
      using y = f(x);
      using dy = tensor(values(2, shape), shape);
      y.backward(dy);
      t.is(x.grad?.size, y.size);
      using forgotten = f(x);
      t.true(forgotten.requiresGrad);
    }
    t.is(memory().bytes, before);
  });

  test(`${name}: wrong calls`, (t) => {
    throwsCode(
      t,
      'UNSUPPORTED',
      () => f(zeros([2], { dtype: 'int32' }) as never),
      new RegExp(`^${name}: x is int32`),
    );
    throwsCode(t, 'INVALID_ARGUMENT', () => f(1 as never), new RegExp(`^${name}: x is not a tensor`));
    const x = zeros([2]);
    x.dispose();
    throwsCode(t, 'DISPOSED', () => f(x), new RegExp(`^${name}: x has been disposed`));
  });
}

test('gradients of the smooth ones agree with differences, and gather', (t) => {
  for (const f of [sigmoid, silu])
    for (const shape of [[2, 21, 3, 4], [5, 7], [3]] as Shape[]) {
      const once = directionalError((x) => f(x as Tensor), [shape], { scale: 3 });
      t.true(once < 2e-4, `${f.name} [${shape}]: ${once}`);
    }
  const x = tensor([0.5, -2], undefined, { requiresGrad: true });
  const dy = tensor([1, 1]);
  silu(x).backward(dy);
  const once = x.grad?.dataSync() ?? [];
  silu(x).backward(dy);
  t.deepEqual(
    [...(x.grad?.dataSync() ?? [])],
    [...once].map((value) => 2 * value),
  );
});

test('NaN and infinity', (t) => {
  const x = tensor([Number.NaN, Infinity, -Infinity, -0.5, 7]);
  const of = (f: (x: Tensor) => Tensor) => [...f(x as Tensor).dataSync()];
  t.deepEqual(of(relu), [Number.NaN, Infinity, 0, 0, 7]);
  t.deepEqual(of(relu6), [Number.NaN, 6, 0, 0, 6]);
  t.deepEqual(of(sigmoid).slice(0, 3), [Number.NaN, 1, 0]);
  t.deepEqual(of(hardsigmoid).slice(0, 3), [Number.NaN, 1, 0]);
  // PyTorch's, too: minus infinity times zero.
  t.deepEqual(of(silu).slice(0, 3), [Number.NaN, Infinity, Number.NaN]);
  t.deepEqual(of(hardswish).slice(0, 3), [Number.NaN, Infinity, Number.NaN]);
});

test('what they are at large numbers', (t) => {
  const far = tensor([-200, 200, -90, 90]);
  t.deepEqual([...sigmoid(far).dataSync()].slice(0, 2), [0, 1]);
  t.deepEqual(
    [...silu(far).dataSync()].map((v) => (Math.abs(v) < 1e-35 ? 0 : v)),
    [0, 200, 0, 90],
  );
  t.deepEqual([...hardswish(far).dataSync()].map(Math.abs), [0, 200, 0, 90]);
});
