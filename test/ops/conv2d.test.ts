import test from 'ava';
import { conv2d, ones, type Tensor1D, type Tensor4D, tensor } from '../../lib/index.js';
import { native } from '../../lib/native.js';
import { hashed, loadCases, loadGolden, relativeError } from '../golden/golden.js';
import { skipsOffCpu } from '../helpers/devices.js';
import { throwsCode } from '../helpers/errors.js';

interface Case {
  id: number;
  n: number;
  c: number;
  h: number;
  w: number;
  k: number;
  r: number;
  s: number;
  stride: [number, number];
  padding: [number, number, number, number];
  dilation: [number, number];
  groups: number;
  bias: boolean;
}

const cases = loadCases<Case[]>('conv2d');
const golden = loadGolden('conv2d.forward', 'conv2d.gradInput', 'conv2d.gradWeight');

/** Forward and all gradients of one golden problem: the largest error of y, and of the gradients. */
function errors(problem: Case): [number, number] {
  const { id, n, c, h, w, k, r, s, bias, ...options } = problem;
  const seeded = (offset: number, shape: [number, number, number, number]): Tensor4D =>
    tensor(hashed(4 * id + offset, shape[0] * shape[1] * shape[2] * shape[3]), shape, {
      requiresGrad: offset < 3,
    });
  const x = seeded(0, [n, c, h, w]);
  const weight = seeded(1, [k, c / options.groups, r, s]);
  const offsets: Tensor1D | null = bias ? tensor(hashed(4 * id + 2, k), [k], { requiresGrad: true }) : null;
  const y = conv2d(x, weight, { ...options, bias: offsets });
  const dy = seeded(3, [...y.shape] as [number, number, number, number]);
  const expected = (name: string) => golden.get(`${id}.${name}`)?.data as Float32Array;
  const forward = relativeError(y.dataSync(), expected('y'));
  y.backward(dy);
  const gradients = [
    relativeError(x.grad?.dataSync() as Float32Array, expected('dx')),
    relativeError(weight.grad?.dataSync() as Float32Array, expected('dw')),
    offsets ? relativeError(offsets.grad?.dataSync() as Float32Array, expected('db')) : 0,
  ];
  for (const item of [x, weight, offsets, y, dy]) item?.dispose();
  return [forward, Math.max(...gradients)];
}

for (const solver of ['', 'reference'])
  test.serial(`conv2d follows PyTorch's float64 results, ${solver || 'chosen solvers'}`, (t) => {
    if (solver && skipsOffCpu(t, "the reference is the CPU's")) return;
    t.true(cases.length >= 150);
    native.forceSolver('conv2d', solver);
    try {
      for (const problem of cases) {
        const [forward, gradients] = errors(problem);
        t.true(forward <= 1e-6, `y of ${JSON.stringify(problem)}: ${forward}`);
        t.true(gradients <= 1e-5, `gradients of ${JSON.stringify(problem)}: ${gradients}`);
      }
    } finally {
      native.forceSolver('conv2d', '');
    }
  });

test.serial('a grouped convolution is G convolutions side by side', (t) => {
  const groups = 4;
  const x = tensor(hashed(1, 2 * 12 * 7 * 6), [2, 12, 7, 6]);
  const weight = tensor(hashed(2, 20 * 3 * 9), [20, 3, 3, 3]);
  const together = conv2d(x, weight, { groups, padding: 1 }).dataSync();
  const values = x.dataSync();
  const filters = weight.dataSync();
  const plane = 42;
  for (let group = 0; group < groups; group++) {
    const part = new Float32Array(2 * 3 * plane);
    for (let n = 0; n < 2; n++)
      part.set(
        values.subarray((n * 12 + group * 3) * plane, (n * 12 + group * 3 + 3) * plane),
        n * 3 * plane,
      );
    const alone = conv2d(
      tensor(part, [2, 3, 7, 6]),
      tensor(filters.slice(group * 5 * 27, (group + 1) * 5 * 27), [5, 3, 3, 3]),
      { padding: 1 },
    ).dataSync();
    for (let n = 0; n < 2; n++)
      t.true(
        relativeError(
          together.slice((n * 20 + group * 5) * plane, (n * 20 + group * 5 + 5) * plane),
          alone.slice(n * 5 * plane, (n + 1) * 5 * plane),
        ) < 1e-6,
      );
  }
});

test.serial('gradients accumulate: twice is two times', (t) => {
  const x = tensor(hashed(1, 8 * 25), [1, 8, 5, 5], { requiresGrad: true });
  const weight = tensor(hashed(2, 8 * 4 * 9), [8, 4, 3, 3], { requiresGrad: true });
  const step = () => conv2d(x, weight, { groups: 2, padding: 1 }).backward(ones([1, 8, 5, 5]));
  step();
  const once = [x, weight].map((leaf) => leaf.grad?.dataSync() as Float32Array);
  step();
  for (const [i, leaf] of [x, weight].entries()) {
    const doubled = (once[i] as Float32Array).map((v) => 2 * v);
    t.true(relativeError(leaf.grad?.dataSync() as Float32Array, doubled) < 1e-6);
  }
});

test.serial('a changed weight is used at once', (t) => {
  const x = ones([1, 16, 4, 4]);
  const weight = ones([16, 16, 1, 1]);
  t.is(conv2d(x, weight).dataSync()[0], 16);
  weight.set(new Float32Array(256).fill(2));
  t.is(conv2d(x, weight).dataSync()[0], 32);
});

test.serial('bad input', (t) => {
  const x = ones([1, 8, 5, 5]);
  const weight = ones([8, 4, 3, 3]);
  throwsCode(t, 'INVALID_SHAPE', () => conv2d(x, weight), /takes 4 input channels/);
  throwsCode(t, 'INVALID_SHAPE', () => conv2d(x, ones([7, 4, 3, 3]), { groups: 2 }), /don't divide/);
  throwsCode(t, 'INVALID_SHAPE', () => conv2d(x, ones([8, 8, 7, 3])), /kernel 7 .* spans 7/);
  throwsCode(t, 'INVALID_SHAPE', () => conv2d(ones([8, 5]) as never, weight), /four dimensions/);
  throwsCode(t, 'INVALID_SHAPE', () => conv2d(x, weight, { groups: 2, bias: ones([7]) }), /bias \[7\]/);
  throwsCode(t, 'INVALID_ARGUMENT', () => conv2d(x, weight, { groups: 0 }), /groups/);
  throwsCode(t, 'INVALID_ARGUMENT', () => conv2d(x, weight, { groups: 2, stride: 0 }), /stride/);
  throwsCode(t, 'INVALID_ARGUMENT', () => conv2d(x, weight, { groups: 2, padding: -1 }), /padding/);
  throwsCode(t, 'INVALID_ARGUMENT', () => conv2d(x, weight, { groups: 2, dilation: 1.5 }), /dilation/);
  throwsCode(t, 'INVALID_ARGUMENT', () => conv2d(x, weight, { group: 2 } as object), /unknown option group/);
});
