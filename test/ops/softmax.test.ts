import test from 'ava';
import { logSoftmax, memory, softmax, type Tensor, tensor, zeros } from '../../lib/index.js';
import { throwsCode } from '../helpers/errors.js';
import { checkGoldenOp } from '../helpers/goldenOps.js';
import { directionalError, values } from '../helpers/gradients.js';
import { settled } from '../helpers/memory.js';

test.serial.beforeEach(settled); // what earlier tests forgot is not to vanish while memory is compared

test('softmax follows PyTorch', (t) => {
  checkGoldenOp(t, 'softmax', ({ x }, { dim }: { dim: number }) => softmax(x as Tensor, dim));
});

test('logSoftmax follows PyTorch', (t) => {
  checkGoldenOp(t, 'logSoftmax', ({ x }, { dim }: { dim: number }) => logSoftmax(x as Tensor, dim));
});

test('gradients agree with differences along every axis', (t) => {
  for (const f of [softmax, logSoftmax])
    for (const axis of [0, 1, 2, -1]) {
      const error = directionalError((x) => f(x as Tensor, axis), [[3, 5, 4, 7]]);
      t.true(error < 2e-4, `${f.name} ${axis}: ${error}`);
    }
});

test('rows sum to 1, whatever is added to them', (t) => {
  const data = values(1, [6, 50], 4);
  const y = softmax(tensor(data, [6, 50])).dataSync();
  for (let row = 0; row < 6; row++)
    t.true(Math.abs(y.slice(row * 50, (row + 1) * 50).reduce((sum, p) => sum + p, 0) - 1) < 1e-6);
  const whole = tensor(data.map(Math.round), [6, 50]); // exact after adding
  const shifted = tensor(
    data.map((v) => Math.round(v) + 4096),
    [6, 50],
  );
  t.deepEqual(softmax(whole).dataSync(), softmax(shifted).dataSync());
});

test('extreme values', (t) => {
  t.deepEqual([...softmax(tensor([0, -Infinity, 0, -1e30])).dataSync()], [0.5, 0, 0.5, 0]);
  t.deepEqual([...logSoftmax(tensor([1e30, 0])).dataSync()], [0, Math.fround(-1e30)]);
  t.true([...softmax(tensor([1, Number.NaN, 2])).dataSync()].every(Number.isNaN));
  t.true([...softmax(tensor([Infinity, 0])).dataSync()].some(Number.isNaN));
});

test.serial('memory returns to where it was', (t) => {
  const before = memory().bytes;
  {
    using x = tensor(values(1, [4, 9]), [4, 9], { requiresGrad: true });
    using y = logSoftmax(x);
    using dy = tensor(values(2, [4, 9]), [4, 9]);
    y.backward(dy);
    t.is(x.grad?.size, 36);
  }
  t.is(memory().bytes, before);
});

test('wrong calls', (t) => {
  throwsCode(t, 'INVALID_ARGUMENT', () => softmax(zeros([2, 3]), 2), /softmax: axis 2 of x \[2, 3\]/);
  throwsCode(t, 'INVALID_ARGUMENT', () => logSoftmax(zeros([2, 3]), -3), /logSoftmax: axis -3/);
  throwsCode(t, 'UNSUPPORTED', () => softmax(zeros([2], { dtype: 'int32' }) as never), /int32/);
});
