import test from 'ava';
import { concat, conv2d, memory, split, type Tensor, type Tensor4D, tensor, zeros } from '../../lib/index.js';
import { throwsCode } from '../helpers/errors.js';
import { adjointError, values } from '../helpers/gradients.js';
import { settled } from '../helpers/memory.js';

test.serial.beforeEach(settled); // what earlier tests forgot is not to vanish while memory is compared

/** x[…, begin + j, …] for j < size. */
function cut(
  data: Float32Array,
  shape: readonly number[],
  axis: number,
  begin: number,
  size: number,
): number[] {
  const inner = shape.slice(axis + 1).reduce((product, extent) => product * extent, 1);
  const extent = shape[axis]!;
  return [...data].filter((_, i) => {
    const at = Math.floor(i / inner) % extent;
    return at >= begin && at < begin + size;
  });
}

const cases: [shape: number[], axis: number, sizes: number[]][] = [
  [[2, 48, 3, 5], 1, [16, 32]],
  [[2, 37, 3, 5], 1, [16, 4, 1, 16]],
  [[1, 128, 2, 3], 1, Array(32).fill(4)],
  [[2, 3, 4, 5], 1, [1, 2]],
  [[5, 19, 2, 3], 0, [2, 3]],
  [[2, 19, 7, 3], 2, [4, 3]],
  [[2, 19, 2, 9], -1, [1, 8]],
  [[3, 7], 1, [2, 4, 1]],
  [[9], 0, [4, 5]],
  [[2, 3, 4, 5, 6], 3, [2, 3]],
];

test('split cuts and concat joins, along every axis', (t) => {
  for (const [shape, axis, sizes] of cases) {
    const data = values(1, shape);
    const x = tensor(data, shape) as Tensor;
    const along = axis < 0 ? axis + shape.length : axis;
    let begin = 0;
    const parts = split(x, sizes, axis);
    for (const [i, part] of parts.entries()) {
      t.deepEqual([...part.dataSync()], cut(data, shape, along, begin, sizes[i]!), `${shape} ${axis}`);
      t.is(part.shape[along], sizes[i]);
      begin += sizes[i]!;
    }
    t.deepEqual(concat(parts, axis).dataSync(), data, `${shape} ${axis}`);
  }
  t.deepEqual(
    split(zeros([2, 7]), 3).map((part) => part.shape[1]),
    [3, 3, 1],
  );
});

test('gradients are the adjoints, alone and where parts meet again', (t) => {
  for (const [shape, axis, sizes] of cases) {
    t.true(adjointError((x: Tensor) => concat(split(x, sizes, axis), axis), shape) < 1e-12, `${shape}`);
    t.true(adjointError((x: Tensor) => concat([x, x], axis), shape) < 1e-6, `${shape} twice`);
    for (const i of [0, sizes.length - 1]) // the other parts get no gradient
      t.true(adjointError((x: Tensor) => split(x, sizes, axis)[i]!, shape) < 1e-12, `${shape} part ${i}`);
  }
});

test('it works on what a convolution leaves', (t) => {
  const weight = tensor(values(2, [24, 6, 1, 1]), [24, 6, 1, 1]);
  t.true(
    adjointError((x: Tensor4D) => concat(split(conv2d(x, weight), [5, 11, 8]).reverse()), [2, 6, 4, 3]) <
      1e-6,
  );
});

test.serial('memory returns to where it was', (t) => {
  const before = memory().bytes;
  {
    using x = tensor(values(1, [2, 37, 3, 5]), [2, 37, 3, 5], { requiresGrad: true });
    const parts = split(x, [16, 21]);
    using y = concat(parts);
    using dy = tensor(values(2, [2, 37, 3, 5]), [2, 37, 3, 5]);
    y.backward(dy);
    t.deepEqual(x.grad?.dataSync(), dy.dataSync());
    for (const part of parts) part.dispose();
  }
  t.is(memory().bytes, before);
});

test('wrong calls', (t) => {
  const a = zeros([2, 3]);
  throwsCode(t, 'INVALID_ARGUMENT', () => concat([]), /at least one/);
  throwsCode(t, 'UNSUPPORTED', () => concat([zeros([3], { dtype: 'int32' }) as never]), /int32/);
  throwsCode(t, 'INVALID_ARGUMENT', () => concat([a], 2), /axis/);
  throwsCode(t, 'INVALID_SHAPE', () => concat([a, zeros([3, 3])]), /\[2, 3\] and \[3, 3\]/);
  throwsCode(t, 'INVALID_SHAPE', () => split(a, [1, 1]), /add up to 2, axis 1 of x has 3/);
  throwsCode(t, 'INVALID_ARGUMENT', () => split(a, 0), /size/);
  throwsCode(t, 'INVALID_ARGUMENT', () => split(a, 1, -3), /axis/);
});
