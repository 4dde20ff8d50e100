import test from 'ava';
import {
  crossEntropy,
  GroupConvError,
  memory,
  mobilenet_v1,
  noGrad,
  ones,
  optim,
  ResNeXt,
  randn,
  relu,
  scope,
  summary,
  tensor,
  zeros,
} from '../lib/index.js';
import { native } from '../lib/native.js';
import { throwsCode } from './helpers/errors.js';
import { settled } from './helpers/memory.js';

test.serial.beforeEach(settled); // what earlier tests forgot is not to vanish while memory is compared

const megabyte = 2 ** 20;

function smallNet() {
  return new ResNeXt({
    blockRepeats: [
      [16, 1],
      [32, 1],
    ],
    cardinality: 4,
    numClasses: 10,
    stem: 'cifar',
    firstStride: 1,
  });
}

test.serial('a thousand training steps stay flat', (t) => {
  const model = smallNet();
  const optimizer = new optim.SGD(model.parameters(), { lr: 0.01, momentum: 0.9 });
  const labels = tensor(Int32Array.of(1, 2, 3, 4));
  const step = () =>
    scope(() => {
      const loss = crossEntropy(model.forward(randn([4, 3, 8, 8])), labels);
      optimizer.zeroGrad();
      loss.backward();
      optimizer.step();
      return loss.item();
    });
  const residentAfter = (steps: number) => {
    for (let i = 0; i < steps; i++) t.true(Number.isFinite(step()));
    globalThis.gc?.();
    return process.memoryUsage().rss / megabyte;
  };
  const start = residentAfter(200);
  const before = memory();
  // A leak grows in every round; the heap of JavaScript settles in some of them.
  const resident = [0, 1, 2, 3, 4].map(() => residentAfter(200));
  const growth = resident.slice(1).map((now, i) => now - (resident[i] as number));
  const after = memory();
  t.is(after.bytes, before.bytes);
  t.is(after.tensors, before.tensors);
  t.is(after.derivedBytes, before.derivedBytes);
  t.is(after.reservedBytes, before.reservedBytes);
  t.log(growth.map((mib) => mib.toFixed(2)).join(' '));
  const whole = (resident.at(-1) as number) - start;
  t.true(whole < 40, `${whole} MiB more after a thousand steps`);
  t.true(Math.min(...growth) < 2, `MiB more in each round: ${growth.map((mib) => mib.toFixed(1))}`);
  labels.dispose();
  model.dispose();
});

test.serial('forward and dispose return exactly to where memory was', async (t) => {
  const start = (await settled()).bytes;
  const model = mobilenet_v1(0.25);
  const x = randn([2, 3, 32, 32]);
  const before = memory().bytes;
  for (const mode of ['train', 'eval'] as const) {
    model[mode]();
    const y = model.forward(x);
    t.true(memory().bytes > before);
    y.dispose();
    t.is(memory().bytes, before, `${mode}, graph dropped with the output`);
    noGrad(() => model.forward(x)).dispose();
    t.is(memory().bytes, before, `${mode}, without a graph`);
  }
  const y = model.forward(x);
  scope(() => y.backward(zeros([2, 1000])));
  model.zeroGrad();
  y.dispose();
  t.is(memory().bytes, before, 'after backward');
  x.dispose();
  model.dispose();
  t.is(memory().bytes, start);
});

const networks = {
  'a ResNeXt': () =>
    new ResNeXt({
      blockRepeats: [
        [32, 2],
        [64, 3],
      ],
      cardinality: 8,
      firstStride: 1,
    }),
  mobilenet_v1: () => mobilenet_v1(0.5),
};
for (const [name, make] of Object.entries(networks))
  test.serial(`inference of ${name} holds 1.3 times the two largest activations at most`, async (t) => {
    const model = make().eval();
    const x = randn([2, 3, 64, 64]);
    // Convolution, norm and activation are one activation.
    const sizes = summary(model, [2, 3, 64, 64])
      .rows.filter(({ type }) => type === 'Conv2d')
      .map(({ outputShape }) => 4 * outputShape.reduce((product, extent) => product * extent))
      .sort((a, b) => b - a);
    const largest = (sizes[0] ?? 0) + (sizes[1] ?? 0);
    await settled();
    const { bytes } = memory({ resetPeak: true });
    noGrad(() => model.forward(x)).dispose();
    const used = memory().peakBytes - bytes;
    t.true(used <= 1.3 * largest, `${used} of ${largest}`);
    x.dispose();
    model.dispose();
  });

test.serial('a synchronous loop that forgets its tensors stays flat', (t) => {
  const x = zeros([256, 1024]); // 1 MiB
  const start = process.memoryUsage().rss;
  let peak = 0;
  for (let i = 0; i < 2000; i++) {
    relu(x);
    if (i % 50 === 0) peak = Math.max(peak, process.memoryUsage().rss - start);
  }
  t.true(peak < 400 * megabyte, `${peak / megabyte} MiB`);
  x.dispose();
});

test.serial('a backward that fails gives back what it held', (t) => {
  const w = randn([100], { requiresGrad: true });
  const dy = ones([100]);
  const { tensors } = memory();
  const { activationGrad } = native;
  native.activationGrad = () => {
    throw new GroupConvError('OUT_OF_MEMORY', 'as if');
  };
  try {
    scope(() => throwsCode(t, 'OUT_OF_MEMORY', () => relu(relu(w)).backward(dy)));
  } finally {
    native.activationGrad = activationGrad;
  }
  t.is(memory().tensors, tensors);
  t.is(w.grad, null);
  t.notThrows(() => scope(() => relu(w).backward(dy)));
  w.dispose();
  dy.dispose();
});

test.serial('what the garbage collector finds is freed', async (t) => {
  const before = (await settled()).tensors;
  for (let i = 0; i < 100; i++) relu(zeros([1000]));
  const left = (await settled()).tensors - before;
  t.true(left <= 5, `${left} tensors are left`);
});
