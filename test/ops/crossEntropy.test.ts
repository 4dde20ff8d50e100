import test from 'ava';
import {
  crossEntropy,
  logSoftmax,
  memory,
  synchronize,
  type Tensor,
  type Tensor2D,
  tensor,
  zeros,
} from '../../lib/index.js';
import { rejectsCode, throwsCode } from '../helpers/errors.js';
import { checkGoldenOp } from '../helpers/goldenOps.js';
import { directionalError, values } from '../helpers/gradients.js';
import { settled } from '../helpers/memory.js';

test.serial.beforeEach(settled); // what earlier tests forgot is not to vanish while memory is compared

interface Options {
  labels: number[];
  labelSmoothing: number;
}

test('crossEntropy follows PyTorch', (t) => {
  checkGoldenOp(
    t,
    'crossEntropy',
    ({ logits }, { labels, labelSmoothing }: Options) =>
      crossEntropy(logits as Tensor2D, tensor(Int32Array.from(labels)), { labelSmoothing }) as Tensor,
  );
});

test('gradients agree with differences', (t) => {
  const labels = tensor(Int32Array.of(3, 0, 6, 2, 2));
  for (const labelSmoothing of [0, 0.1, 1]) {
    const error = directionalError(
      (x) => crossEntropy(x as Tensor2D, labels, { labelSmoothing }) as Tensor,
      [[5, 7]],
      { scale: 2 },
    );
    t.true(error < 1e-4, `${labelSmoothing}: ${error}`);
  }
});

test('it is the mean of -logSoftmax at the labels', (t) => {
  const logits = tensor(values(1, [4, 33], 5), [4, 33]);
  const labels = [32, 0, 7, 7];
  const log = logSoftmax(logits).dataSync();
  const mean = labels.reduce((sum, label, row) => sum - log[row * 33 + label]! / 4, 0);
  t.true(Math.abs(crossEntropy(logits, tensor(Int32Array.from(labels))).item() - mean) < 1e-6);
});

test('the gradient scales with the one that comes in', (t) => {
  const labels = tensor(Int32Array.of(1, 2));
  const gradient = (factor: number) => {
    const logits = tensor(values(1, [2, 5]), [2, 5], { requiresGrad: true });
    crossEntropy(logits, labels).backward(tensor([factor], []) as never);
    return logits.grad!.dataSync();
  };
  t.deepEqual(
    gradient(4),
    gradient(1).map((value) => 4 * value),
  );
});

test.serial('a label outside of the classes is told at the next wait, and only once', async (t) => {
  const logits = tensor(values(1, [4, 10]), [4, 10], { requiresGrad: true });
  for (const label of [10, -1]) {
    const loss = crossEntropy(logits, tensor(Int32Array.of(0, 1, 2, label)));
    await rejectsCode(t, 'INVALID_ARGUMENT', loss.data(), new RegExp(`label ${label} of sample 3`));
  }
  await t.notThrowsAsync(synchronize());
  t.true(Number.isFinite(crossEntropy(logits, tensor(Int32Array.of(0, 1, 2, 3))).item()));
});

test.serial('memory returns to where it was', (t) => {
  const before = memory().bytes;
  {
    using logits = tensor(values(1, [4, 10]), [4, 10], { requiresGrad: true });
    using labels = tensor(Int32Array.of(0, 1, 2, 3));
    using loss = crossEntropy(logits, labels, { labelSmoothing: 0.1 });
    loss.backward();
    t.is(logits.grad?.size, 40);
  }
  t.is(memory().bytes, before);
});

test('wrong calls', (t) => {
  const logits = zeros([2, 3]);
  const labels = tensor(Int32Array.of(0, 1));
  throwsCode(t, 'INVALID_SHAPE', () => crossEntropy(zeros([2]) as never, labels), /must be \[N, C\]/);
  throwsCode(
    t,
    'INVALID_SHAPE',
    () => crossEntropy(logits, tensor(Int32Array.of(0))),
    /labels \[1\].*need \[2\]/,
  );
  throwsCode(t, 'UNSUPPORTED', () => crossEntropy(logits, zeros([2]) as never), /labels is float32, int32/);
  throwsCode(
    t,
    'INVALID_ARGUMENT',
    () => crossEntropy(logits, labels, { labelSmoothing: 1.1 }),
    /from 0 to 1/,
  );
  throwsCode(
    t,
    'INVALID_ARGUMENT',
    () => crossEntropy(logits, labels, { smoothing: 1 } as never),
    /unknown option/,
  );
  throwsCode(t, 'INVALID_ARGUMENT', () => crossEntropy(logits, [0, 1] as never), /not a tensor/);
  const gone = tensor(Int32Array.of(0, 1));
  gone.dispose();
  throwsCode(t, 'DISPOSED', () => crossEntropy(logits, gone));
});
