import test from 'ava';
import {
  adaptiveAvgPool2d,
  avgPool2d,
  maxPool2d,
  memory,
  type Pair,
  type Tensor4D,
  tensor,
  zeros,
} from '../../lib/index.js';
import { relativeError } from '../golden/golden.js';
import { throwsCode } from '../helpers/errors.js';
import { checkGoldenOp } from '../helpers/goldenOps.js';
import { adjointError, directionalError, values } from '../helpers/gradients.js';
import { settled } from '../helpers/memory.js';

test.serial.beforeEach(settled); // what earlier tests forgot is not to vanish while memory is compared

interface PoolCase {
  kernelSize: Pair;
  stride: Pair;
  padding: Pair;
  countIncludePad: boolean;
}

test('maxPool2d follows PyTorch', (t) => {
  checkGoldenOp(t, 'maxPool2d', ({ x }, { kernelSize, ...options }: PoolCase) =>
    maxPool2d(x as unknown as Tensor4D, kernelSize, options),
  );
});

test('avgPool2d follows PyTorch', (t) => {
  checkGoldenOp(t, 'avgPool2d', ({ x }, { kernelSize, ...options }: PoolCase) =>
    avgPool2d(x as unknown as Tensor4D, kernelSize, options),
  );
});

test('adaptiveAvgPool2d follows PyTorch', (t) => {
  checkGoldenOp(t, 'adaptiveAvgPool2d', ({ x }, { outputSize }: { outputSize: Pair }) =>
    adaptiveAvgPool2d(x as unknown as Tensor4D, outputSize),
  );
});

test('gradients of averages are the adjoint', (t) => {
  for (const shape of [
    [2, 3, 7, 9],
    [1, 21, 8, 5],
  ] as const) {
    t.true(adjointError((x) => avgPool2d(x, 3, { stride: 2, padding: [1, 0, 0, 1] }), shape) < 1e-6);
    t.true(adjointError((x) => avgPool2d(x, [2, 3], { padding: 1, countIncludePad: false }), shape) < 1e-6);
    t.true(adjointError((x) => adaptiveAvgPool2d(x, 1), shape) < 1e-6);
    t.true(adjointError((x) => adaptiveAvgPool2d(x, [3, 11]), shape) < 1e-6);
  }
});

test('the gradient of maxPool2d agrees with differences', (t) => {
  // Steps so small that no maximum moves; between kinks the function is linear.
  const pool = (x: Tensor4D) => maxPool2d(x, 3, { stride: 2, padding: 1 });
  t.true(directionalError((x) => pool(x), [[2, 7, 9, 8]], { step: 1e-4, scale: 4 }) < 1e-3);
});

test('the first maximum takes the gradient, and a NaN wins', (t) => {
  const x = tensor([1, 1, 2, Number.NaN, 1, 1, 2, 5], [1, 1, 2, 4], { requiresGrad: true });
  const y = maxPool2d(x, 2);
  t.deepEqual([...y.dataSync()], [1, Number.NaN]);
  y.backward(tensor([10, 20], [1, 1, 1, 2]));
  t.deepEqual([...x.grad!.dataSync()], [10, 0, 0, 20, 0, 0, 0, 0]);
});

test('padding on four sides', (t) => {
  const x = tensor([-1, -2, -3, -4], [1, 1, 2, 2]);
  const options = { stride: 2, padding: [0, 1, 1, 0] } as const;
  t.deepEqual([...maxPool2d(x, 3, options).dataSync()], [-1]);
  t.deepEqual([...avgPool2d(x, 3, { ...options, countIncludePad: false }).dataSync()], [-2.5]);
});

test('a pool in two halves adds up', (t) => {
  const shape = [2, 21, 6, 6] as const;
  const x = tensor(values(1, shape), shape, { requiresGrad: true });
  const dy = tensor(values(2, [2, 21, 3, 3]), [2, 21, 3, 3]);
  maxPool2d(x, 2).backward(dy);
  const once = x.grad!.dataSync();
  maxPool2d(x, 2).backward(dy);
  t.true(
    relativeError(
      x.grad!.dataSync().map((v) => v / 2),
      once,
    ) === 0,
  );
});

test.serial('memory returns to where it was', (t) => {
  const before = memory().bytes;
  {
    using x = tensor(values(1, [2, 8, 6, 6]), [2, 8, 6, 6], { requiresGrad: true });
    using y = maxPool2d(x, 2);
    using z = adaptiveAvgPool2d(y, 1);
    using dz = tensor(values(2, [2, 8, 1, 1]), [2, 8, 1, 1]);
    z.backward(dz);
  }
  t.is(memory().bytes, before);
});

test('wrong calls', (t) => {
  const x = zeros([1, 2, 4, 4]);
  throwsCode(
    t,
    'INVALID_ARGUMENT',
    () => maxPool2d(x, 2, { padding: 2 }),
    /padding is at least 0 and at most half/,
  );
  throwsCode(t, 'INVALID_ARGUMENT', () => maxPool2d(x, 0), /kernelSize/);
  throwsCode(
    t,
    'INVALID_ARGUMENT',
    () => maxPool2d(x, 2, { dilation: 2 } as never),
    /unknown option dilation/,
  );
  throwsCode(t, 'INVALID_ARGUMENT', () => avgPool2d(x, 2, { stride: [1, 0] }), /stride/);
  throwsCode(t, 'INVALID_ARGUMENT', () => avgPool2d(x, 2, { countIncludePad: 1 as never }), /is a boolean/);
  throwsCode(t, 'INVALID_ARGUMENT', () => adaptiveAvgPool2d(x, [1, 0]), /outputSize/);
  throwsCode(t, 'INVALID_SHAPE', () => avgPool2d(x, 5), /kernel 5 is larger than x's height 4/);
  throwsCode(t, 'INVALID_SHAPE', () => adaptiveAvgPool2d(zeros([2, 3]) as never, 1), /four dimensions/);
  throwsCode(
    t,
    'UNSUPPORTED',
    () => maxPool2d(zeros([1, 2, 4, 4], { dtype: 'int32' }) as never, 2),
    /x is int32/,
  );
  x.dispose();
  throwsCode(t, 'DISPOSED', () => maxPool2d(x, 2), /x has been disposed/);
});
