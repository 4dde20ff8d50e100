import test from 'ava';
import { add, memory, relu, type Tensor, tensor, zeros } from '../../lib/index.js';
import { addActivated } from '../../lib/ops/add.js';
import { relativeError } from '../golden/golden.js';
import { throwsCode } from '../helpers/errors.js';
import { adjointError, values } from '../helpers/gradients.js';
import { settled } from '../helpers/memory.js';

test.serial.beforeEach(settled); // what earlier tests forgot is not to vanish while memory is compared

const shapes = [[2, 5, 3, 4], [2, 17, 3, 5], [3, 7], [5], []] as const;

test('add sums element by element, whatever the rank', (t) => {
  for (const shape of shapes) {
    const [a, b] = [values(1, shape), values(2, shape)];
    const y = add<readonly number[]>(tensor(a, shape), tensor(b, shape));
    t.deepEqual(
      y.dataSync(),
      a.map((value, i) => Math.fround(value + b[i]!)),
    );
    t.deepEqual([...y.shape], [...shape]);
  }
});

test('the gradient passes to both sides', (t) => {
  for (const shape of shapes) {
    const a = tensor(values(1, shape), shape, { requiresGrad: true }) as Tensor;
    const b = tensor(values(2, shape), shape, { requiresGrad: true }) as Tensor;
    const dy = tensor(values(3, shape), shape) as Tensor;
    add(a, b).backward(dy);
    t.deepEqual(a.grad?.dataSync(), dy.dataSync());
    t.deepEqual(b.grad?.dataSync(), dy.dataSync());
    add(a, b).backward(dy); // gathers
    t.deepEqual(
      a.grad?.dataSync(),
      dy.dataSync().map((value) => 2 * value),
    );
    t.deepEqual(dy.dataSync(), values(3, shape));
  }
});

test('a tensor added to itself gets twice the gradient', (t) => {
  t.true(adjointError((x) => add(x, x), [2, 6, 3, 5]) < 1e-6);
  t.true(adjointError((x) => add(add(x, x), x), [2, 6, 3, 5]) < 1e-6);
});

test('the fused activation is the activation of the sum', (t) => {
  for (const shape of shapes) {
    const run = (sum: (a: Tensor, b: Tensor) => Tensor) => {
      const a = tensor(values(1, shape), shape, { requiresGrad: true }) as Tensor;
      const b = tensor(values(2, shape), shape, { requiresGrad: true }) as Tensor;
      const y = sum(a, b);
      y.backward(tensor(values(3, shape), shape));
      return [y, a.grad!, b.grad!].map((one) => one.dataSync());
    };
    t.deepEqual(
      run((a, b) => addActivated(a, b, 'relu')),
      run((a, b) => relu(add(a, b))),
    );
  }
  const high = tensor([4, -4, 1]);
  t.deepEqual([...addActivated(high, high, 'relu6').dataSync()], [6, 0, 2]);
});

test.serial('memory returns to where it was', (t) => {
  const before = memory().bytes;
  {
    using a = tensor(values(1, [2, 8, 4, 4]), [2, 8, 4, 4], { requiresGrad: true });
    using b = tensor(values(2, [2, 8, 4, 4]), [2, 8, 4, 4], { requiresGrad: true });
    using y = addActivated(a, b, 'relu');
    using dy = tensor(values(3, [2, 8, 4, 4]), [2, 8, 4, 4]);
    y.backward(dy);
    t.true(relativeError(a.grad!.dataSync(), b.grad!.dataSync()) === 0);
  }
  t.is(memory().bytes, before);
});

test('wrong calls', (t) => {
  const a = zeros([2, 3]);
  throwsCode(t, 'INVALID_SHAPE', () => add(a, zeros([3, 2])), /add: a \[2, 3\] and b \[3, 2\]/);
  throwsCode(t, 'UNSUPPORTED', () => add(a, zeros([2, 3], { dtype: 'int32' }) as never), /b is int32/);
  throwsCode(t, 'INVALID_ARGUMENT', () => add(a, 3 as never), /b is not a tensor/);
  const gone = zeros([2, 3]);
  gone.dispose();
  throwsCode(t, 'DISPOSED', () => add(a, gone), /b has been disposed/);
});
