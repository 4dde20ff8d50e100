import test from 'ava';
import { add, memory, mul, noGrad, ones, type Shape, type Tensor, tensor, zeros } from '../../lib/index.js';
import { throwsCode } from '../helpers/errors.js';
import { checkGoldenOp } from '../helpers/goldenOps.js';
import { adjointError, values } from '../helpers/gradients.js';
import { settled } from '../helpers/memory.js';

test.serial.beforeEach(settled); // what earlier tests forgot is not to vanish while memory is compared

const operators = { add, mul };

for (const [name, f] of Object.entries(operators)) {
  test(`${name} follows PyTorch, with values of channels in either place`, (t) =>
    checkGoldenOp(t, name, ({ a, b }) => f(a as Tensor, b as Tensor)));

  test(`${name}: gradients gather, also of values that are broadcast`, (t) => {
    for (const values of [
      [2, 21, 1, 1],
      [1, 21, 1, 1],
      [2, 21, 3, 5],
    ] as Shape[]) {
      const a = ones([2, 21, 3, 5], { requiresGrad: true }) as Tensor;
      const b = tensor(new Float32Array(values.reduce((p, e) => p * e)).fill(2), values, {
        requiresGrad: true,
      }) as Tensor;
      const dy = ones([2, 21, 3, 5]) as Tensor;
      f(a, b).backward(dy);
      const once = [a, b].map(({ grad }) => [...grad!.dataSync()]);
      f(b, a).backward(dy);
      for (const [i, x] of [a, b].entries())
        t.deepEqual(
          [...x.grad!.dataSync()],
          once[i]!.map((value) => 2 * value),
        );
      for (const owned of [a, b, dy]) owned.dispose();
    }
  });

  test.serial(`${name}: memory returns to where it was`, (t) => {
    const before = memory().bytes;
    {
      using a = tensor(values(1, [2, 21, 4, 4]), [2, 21, 4, 4], { requiresGrad: true });
      using b = tensor(values(2, [2, 21, 1, 1]), [2, 21, 1, 1], { requiresGrad: true });
      using y = f(a, b);
      using dy = tensor(values(3, [2, 21, 4, 4]), [2, 21, 4, 4]);
      y.backward(dy);
      using forgotten = f(b, a);
      using plain = noGrad(() => f(a, b));
      t.true(forgotten.requiresGrad && !plain.requiresGrad);
      t.deepEqual([a.grad?.shape, b.grad?.shape], [a.shape, b.shape]);
    }
    t.is(memory().bytes, before);
  });

  test(`${name}: wrong calls name the shapes, before anything happens`, (t) => {
    const image = zeros([2, 4, 3, 3]);
    const { tensors } = memory();
    for (const wrong of [[2, 4], [4], [4, 1, 1], [2, 5, 1, 1], [3, 4, 1, 1], [2, 4, 3, 1], []] as Shape[]) {
      using other = zeros(wrong) as Tensor;
      for (const [a, b] of [
        [image, other],
        [other, image],
      ] as [Tensor, Tensor][])
        throwsCode(
          t,
          'INVALID_SHAPE',
          () => f(a, b),
          new RegExp(`^${name}: a \\[${a.shape.join(', ')}\\] and b \\[${b.shape.join(', ')}\\] must`),
        );
    }
    const int32 = zeros([2, 4, 3, 3], { dtype: 'int32' });
    throwsCode(t, 'UNSUPPORTED', () => f(image, int32 as never), /b is int32/);
    throwsCode(t, 'INVALID_ARGUMENT', () => f(image, 3 as never), /b is not a tensor/);
    int32.dispose();
    t.is(memory().tensors, tensors);
    const gone = zeros([2, 4, 3, 3]);
    gone.dispose();
    throwsCode(t, 'DISPOSED', () => f(gone, image), new RegExp(`^${name}: a has been disposed`));
    image.dispose();
  });
}

test('a product is linear in each factor', (t) => {
  for (const shape of [
    [2, 21, 1, 1],
    [1, 21, 1, 1],
    [2, 21, 5, 3],
  ] as Shape[]) {
    const other = tensor(values(5, [2, 21, 5, 3]), [2, 21, 5, 3]) as Tensor;
    t.true(adjointError((x) => mul(x, other), shape) < 1e-6, `${shape}`);
    const factor = tensor(values(5, shape), shape) as Tensor;
    t.true(adjointError((x) => mul(factor, x), [2, 21, 5, 3] as Shape) < 1e-6, `${shape}`);
  }
});

test('a square has twice the gradient', (t) => {
  const x = tensor([3, -2], undefined, { requiresGrad: true });
  mul(x, x).backward(tensor([1, 10]));
  t.deepEqual([...(x.grad?.dataSync() ?? [])], [6, -40]);
});

test('images times and plus a value for each channel', (t) => {
  const images = tensor(values(1, [2, 3, 5, 7]), [2, 3, 5, 7]); // few channels lie plane by plane
  const scale = tensor([2, 3, 4], [1, 3, 1, 1]);
  const shift = tensor([1, 0, -1], [1, 3, 1, 1]);
  const expected = values(1, [2, 3, 5, 7]).map((value, i) => {
    const channel = Math.floor(i / 35) % 3;
    return Math.fround(Math.fround(value * (channel + 2)) + 1 - channel);
  });
  t.deepEqual(add(mul(images, scale), shift).dataSync(), expected);
});
