import test from 'ava';
import { relu, relu6, type Tensor, tensor, zeros } from '../../lib/index.js';
import { throwsCode } from '../helpers/errors.js';
import { checkGoldenOp } from '../helpers/goldenOps.js';

test('relu and relu6 follow PyTorch', (t) => {
  checkGoldenOp(t, 'relu', ({ x }) => relu(x as Tensor));
  checkGoldenOp(t, 'relu6', ({ x }) => relu6(x as Tensor));
});

test('NaN and infinity', (t) => {
  const x = tensor([Number.NaN, Infinity, -Infinity, -0.5, 7]);
  t.deepEqual([...relu(x).dataSync()], [Number.NaN, Infinity, 0, 0, 7]);
  t.deepEqual([...relu6(x).dataSync()], [Number.NaN, 6, 0, 0, 6]);
});

test('wrong calls', (t) => {
  throwsCode(t, 'UNSUPPORTED', () => relu(zeros([2], { dtype: 'int32' }) as never), /x is int32/);
  throwsCode(t, 'INVALID_ARGUMENT', () => relu6(1 as never), /x is not a tensor/);
  const x = zeros([2]);
  x.dispose();
  throwsCode(t, 'DISPOSED', () => relu6(x), /x has been disposed/);
});
