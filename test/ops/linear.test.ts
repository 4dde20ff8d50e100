import test from 'ava';
import {
  flatten,
  linear,
  memory,
  reshape,
  type Tensor,
  type Tensor1D,
  type Tensor2D,
  tensor,
  zeros,
} from '../../lib/index.js';
import { throwsCode } from '../helpers/errors.js';
import { checkGoldenOp } from '../helpers/goldenOps.js';
import { adjointError, directionalError, values } from '../helpers/gradients.js';
import { settled } from '../helpers/memory.js';

test.serial.beforeEach(settled); // what earlier tests forgot is not to vanish while memory is compared

test('linear follows PyTorch', (t) => {
  checkGoldenOp(t, 'linear', ({ x, weight, bias }) =>
    linear(x as Tensor2D, weight as Tensor2D, (bias ?? null) as Tensor1D | null),
  );
});

test('gradients agree with differences, whatever the rank of x', (t) => {
  for (const leading of [[4], [2, 3], [2, 1, 5, 3]]) {
    const error = directionalError(
      (x, weight, bias) => linear(x as Tensor, weight, bias),
      [[...leading, 7], [5, 7], [5]],
    );
    t.true(error < 1e-4, `[${leading}]: ${error}`);
  }
});

test('a batch is its samples, and large shapes are linear in x', (t) => {
  const weight = tensor(values(1, [37, 530]), [37, 530]);
  const whole = linear(tensor(values(2, [40, 530]), [40, 530]), weight).dataSync();
  for (const row of [0, 17, 39]) {
    const one = linear(
      tensor(values(2, [40, 530]).slice(row * 530, (row + 1) * 530), [1, 530]),
      weight,
    ).dataSync();
    for (let i = 0; i < 37; i++) t.true(Math.abs(one[i]! - whole[row * 37 + i]!) < 2e-5);
  }
  t.true(adjointError((x: Tensor2D) => linear(x, weight), [65, 530]) < 1e-6);
  t.true(adjointError((w: Tensor2D) => linear(tensor(values(3, [9, 530]), [9, 530]), w), [37, 530]) < 1e-6);
});

test('flatten and reshape keep the elements in row-major order', (t) => {
  const data = values(1, [2, 18, 3, 5]);
  const x = tensor(data, [2, 18, 3, 5]);
  t.deepEqual(flatten(x).shape, [2, 270]);
  t.deepEqual(flatten(x, 2).shape, [2, 18, 15]);
  t.deepEqual(flatten(x, 0).dataSync(), data);
  t.deepEqual(reshape(x, [-1, 30]).shape, [18, 30]);
  t.deepEqual(reshape(reshape(x, [540]), [2, 18, 3, 5]).dataSync(), data);
  t.true(adjointError((y) => flatten(y), [2, 18, 3, 5]) < 1e-12);
  t.true(adjointError((y) => reshape(y, [5, 3, 36]), [2, 18, 3, 5]) < 1e-12);
});

test.serial('memory returns to where it was', (t) => {
  const before = memory().bytes;
  {
    using x = tensor(values(1, [8, 20]), [8, 20], { requiresGrad: true });
    using weight = tensor(values(2, [10, 20]), [10, 20], { requiresGrad: true });
    using bias = tensor(values(3, [10]), [10], { requiresGrad: true });
    using y = linear(x, weight, bias);
    using dy = tensor(values(4, [8, 10]), [8, 10]);
    y.backward(dy);
    t.is(x.grad?.size, 160);
  }
  t.is(memory().bytes, before);
});

test('wrong calls', (t) => {
  const weight = zeros([5, 7]);
  throwsCode(t, 'INVALID_SHAPE', () => linear(zeros([2, 6]), weight), /takes 7 features, x \[2, 6\] has 6/);
  throwsCode(t, 'INVALID_SHAPE', () => linear(zeros([7]) as never, weight), /at least two dimensions/);
  throwsCode(t, 'INVALID_SHAPE', () => linear(zeros([2, 7]), weight, zeros([7])), /bias \[7\]/);
  throwsCode(
    t,
    'UNSUPPORTED',
    () => linear(zeros([2, 7], { dtype: 'int32' }) as never, weight),
    /x is int32/,
  );
  throwsCode(t, 'INVALID_SHAPE', () => reshape(weight, [6, 6]), /35 elements/);
  throwsCode(t, 'INVALID_SHAPE', () => reshape(weight, [-1, -1]), /more than one/);
  throwsCode(t, 'INVALID_ARGUMENT', () => flatten(weight, 2), /startAxis/);
  const gone = zeros([2, 7]);
  gone.dispose();
  throwsCode(t, 'DISPOSED', () => linear(gone, weight), /x has been disposed/);
});
