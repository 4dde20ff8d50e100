/** Fusion changes speed, not values: a module whose forward is replaced is never fused. */
import test from 'ava';
import {
  BatchNorm2d,
  Bottleneck,
  Conv2d,
  Dropout,
  Flatten,
  Hardswish,
  Identity,
  InvertedResidual,
  Linear,
  MaxPool2d,
  type Module,
  manualSeed,
  memory,
  noGrad,
  ReLU,
  ReLU6,
  randn,
  Sequential,
  type Shape,
  SiLU,
  SqueezeExcitation,
  type Tensor,
  type Tensor4D,
} from '../../lib/index.js';
import { throwsCode } from '../helpers/errors.js';
import { settled } from '../helpers/memory.js';
import { close } from '../helpers/state.js';

test.serial.beforeEach(settled); // what earlier tests forgot is not to vanish while memory is compared

/** Every module below gets a forward of its own, which calls its class's. */
function unfuse(module: Module): void {
  for (const each of module.modules()) {
    const { forward } = each;
    Object.defineProperty(each, 'forward', {
      value: (x: Tensor) => forward.call(each, x),
      configurable: true,
    });
  }
}
function refuse(module: Module): void {
  for (const each of module.modules()) Reflect.deleteProperty(each, 'forward');
}

const chains: Record<string, () => Module[]> = {
  'conv, norm, relu': () => [new Conv2d(6, 8, 3), new BatchNorm2d(8), new ReLU()],
  'conv, norm, relu6 with groups': () => [
    new Conv2d(6, 8, 3, { groups: 2, bias: false }),
    new BatchNorm2d(8),
    new ReLU6(),
  ],
  'conv, norm': () => [new Conv2d(6, 8, 1, { stride: 2 }), new BatchNorm2d(8, { affine: false })],
  'conv, relu': () => [new Conv2d(6, 8, 3, { padding: [0, 1, 1, 0] }), new ReLU()],
  'conv alone, then pool': () => [new Conv2d(6, 8, 3), new MaxPool2d(2)],
  'norm, relu, norm': () => [new BatchNorm2d(6), new ReLU(), new BatchNorm2d(6)],
  'norm of the batch': () => [
    new Conv2d(6, 8, 1),
    new BatchNorm2d(8, { trackRunningStats: false }),
    new ReLU(),
  ],
  nested: () => [
    new Sequential(new Conv2d(6, 6, 1), new Sequential(new BatchNorm2d(6))),
    new ReLU(),
    new Identity(),
  ],
  'residual blocks': () => [
    new Bottleneck(6, 4, { cardinality: 2, projection: true }),
    new Bottleneck(8, 4, { cardinality: 2 }),
    new Dropout(0),
    new Bottleneck(8, 8, { cardinality: 4, stride: 2, projection: true }),
    new Bottleneck(16, 8, { cardinality: 4, form: 'aggregated' }),
  ],
  'squeeze-and-excitation': () => [
    new Conv2d(6, 24, 1),
    new BatchNorm2d(24),
    new Hardswish(),
    new SqueezeExcitation(24, 5, { activation: 'relu6', scaleActivation: 'hardsigmoid' }),
    new Conv2d(24, 6, 1),
    new SiLU(),
  ],
  'inverted residuals': () => [
    new InvertedResidual(6, 6),
    new InvertedResidual(6, 6, { squeezeChannels: 4, activation: 'hardswish', kernelSize: 5 }),
    new InvertedResidual(6, 10, { stride: 2, expandedChannels: 6 }),
    new InvertedResidual(10, 10, { expandedChannels: 10, squeezeChannels: 3, activation: 'relu' }),
  ],
  'residual blocks with squeeze-and-excitation': () => [
    new Bottleneck(6, 4, { cardinality: 2, projection: true, squeezeReduction: 4 }),
    new Bottleneck(8, 4, { cardinality: 2, squeezeReduction: 2 }),
    new Bottleneck(8, 6, { cardinality: 2, residual: false, squeezeReduction: 3, form: 'concat' }),
  ],
  'to a vector': () => [
    new Conv2d(6, 2, 3),
    new ReLU(),
    new Dropout(0),
    new Flatten(),
    new Linear(2 * 16, 3),
  ],
};

manualSeed(5);
for (const [name, make] of Object.entries(chains))
  for (const mode of ['train', 'eval'] as const)
    test.serial(`${name}: fused and unfused agree in ${mode}, with gradients and without`, (t) => {
      const start = memory().bytes;
      const chain = new Sequential<Tensor4D>(...make());
      for (const [key, buffer] of chain.namedBuffers())
        if (key.endsWith('running_var')) buffer.set(new Float32Array(buffer.size).fill(1.5));
      chain[mode]();
      const x = randn([2, 6, 6, 6]);
      const before = memory().bytes;
      for (const recording of [true, false]) {
        const results = [true, false].map((fused) => {
          if (!fused) unfuse(chain);
          const run = () => chain.forward(x);
          const y = recording ? run() : noGrad(run);
          refuse(chain);
          const values = y.dataSync();
          const gradients: Float32Array[] = [];
          t.is(y.requiresGrad, recording);
          if (recording) {
            const upstream = y.detach();
            y.backward(upstream);
            upstream.dispose();
            gradients.push(...chain.parameters().map(({ grad }) => grad?.dataSync() ?? new Float32Array(0)));
            chain.zeroGrad();
          }
          y.dispose();
          return { values, gradients };
        });
        const [fused, unfused] = results as [(typeof results)[0], (typeof results)[0]];
        close(t, fused.values, unfused.values, 1e-6, 'y');
        for (const [i, gradient] of unfused.gradients.entries())
          if (Math.hypot(...gradient) > 1e-3)
            close(t, fused.gradients[i] ?? [], gradient, 2e-5, `gradient ${i}`);
        t.is(memory().bytes, before);
      }
      t.false(x.disposed);
      x.dispose();
      chain.dispose();
      t.is(memory().bytes, start);
    });

test.serial('intermediates go as soon as the next one is there', async (t) => {
  const depth = 8;
  const chain = new Sequential<Tensor4D, Tensor4D>(
    ...Array.from({ length: depth }, () => [new Conv2d(16, 16, 1), new BatchNorm2d(16), new ReLU()]).flat(),
  ).eval();
  const x = randn([1, 16, 32, 32]);
  noGrad(() => chain.forward(x)).dispose();
  await x.data();
  const { bytes } = memory({ resetPeak: true });
  noGrad(() => chain.forward(x)).dispose();
  await x.data();
  // The result, the one before it, and as much again for the queue that runs behind.
  t.true(memory().peakBytes - bytes <= depth * x.size * 4, `${memory().peakBytes - bytes}`);
  t.is(memory().bytes, bytes);
  x.dispose();
  chain.dispose();
});

test.serial('a block overwrites what its chain gives away, never what somebody else holds', (t) => {
  const block = () => new Bottleneck(16, 8, { cardinality: 4 });
  using chain = new Sequential<Tensor4D, Tensor4D>(new ReLU(), block(), block()).eval();
  const x = randn([2, 16, 6, 6]);
  const before = x.dataSync();
  const infer = (chain: Module<Tensor4D, Tensor4D>) => {
    using y = noGrad(() => chain.forward(x));
    return y.dataSync();
  };
  const expected = infer(chain);
  t.deepEqual(x.dataSync(), before);

  // The first module returns its input under another name; the user holds that memory.
  class Alias extends ReLU {
    override forward<S extends Shape>(x: Tensor<S>): Tensor<S> {
      return x.detach();
    }
  }
  using aliasing = new Sequential<Tensor4D, Tensor4D>(new Alias(), block(), block()).eval();
  infer(aliasing);
  t.deepEqual(x.dataSync(), before);

  // A block as the whole chain, and one whose residual function is its last norm alone.
  using single = new Sequential<Tensor4D, Tensor4D>(block()).eval();
  infer(single);
  const odd = new Bottleneck(16, 8, { cardinality: 4 });
  Object.assign(odd, { residual: new Sequential(new BatchNorm2d(16)) });
  using oddChain = new Sequential<Tensor4D, Tensor4D>(new ReLU(), odd).eval();
  const fused = infer(oddChain);
  unfuse(oddChain);
  close(t, fused, infer(oddChain), 1e-6, 'odd');
  t.deepEqual(x.dataSync(), before);
  t.deepEqual(infer(chain), expected);
  x.dispose();
});

test.serial('BatchNorm2d counts batches in training only, also after loading', (t) => {
  using norm = new BatchNorm2d(3);
  using other = new BatchNorm2d(3);
  const x = randn([2, 3, 4, 4]);
  const count = () => norm.num_batches_tracked?.item();
  norm.forward(x).dispose();
  norm.forward(x).dispose();
  t.is(count(), 2);
  norm.eval().forward(x).dispose();
  t.is(count(), 2);
  for (let i = 0; i < 5; i++) other.forward(x).dispose();
  norm.train().loadStateDict(other.stateDict());
  norm.forward(x).dispose();
  t.is(count(), 6);
  x.dispose();
});

test.serial('folded weights follow parameters, statistics and loading', (t) => {
  using chain = new Sequential<Tensor4D, Tensor4D>(new Conv2d(6, 8, 3), new BatchNorm2d(8), new ReLU());
  using other = new Sequential<Tensor4D, Tensor4D>(new Conv2d(6, 8, 3), new BatchNorm2d(8), new ReLU());
  const x = randn([2, 6, 6, 6]);
  const infer = () => {
    using y = noGrad(() => chain.eval().forward(x));
    return y.dataSync();
  };
  const changes: [string, () => void][] = [
    ['made', () => {}],
    ['weight set', () => chain.parameters()[0]?.set(new Float32Array(8 * 6 * 9).fill(0.01))],
    ['statistics updated', () => chain.train().forward(x).dispose()],
    ['norm set', () => chain.parameters()[2]?.set(Float32Array.of(1, 2, 3, 4, 5, 6, 7, 8))],
    ['loaded', () => chain.loadStateDict(other.stateDict())],
  ];
  for (const [what, change] of changes) {
    const before = infer();
    change();
    const fused = infer();
    unfuse(chain);
    close(t, fused, infer(), 1e-6, what);
    refuse(chain);
    if (what !== 'made') t.notDeepEqual(fused, before, what);
  }
  x.dispose();
});

test.serial('a chain that fails in the middle leaves nothing behind', (t) => {
  const chain = new Sequential<Tensor4D>(new Conv2d(6, 8, 1), new ReLU(), new Conv2d(9, 4, 1));
  const x = randn([1, 6, 4, 4]);
  const { bytes } = memory();
  throwsCode(t, 'INVALID_SHAPE', () => chain.forward(x), /conv2d/);
  throwsCode(t, 'INVALID_SHAPE', () => noGrad(() => chain.forward(x)), /conv2d/);
  t.is(memory().bytes, bytes);
  x.dispose();
  chain.dispose();
});
