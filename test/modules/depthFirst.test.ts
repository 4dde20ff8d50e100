/** Batches in inference: images go through a few at a time, which nobody sees but by memory and time. */
import test from 'ava';
import {
  BatchNorm2d,
  Bottleneck,
  Conv2d,
  capture,
  concat,
  DepthwiseSeparable,
  Hardsigmoid,
  Hardswish,
  Identity,
  InvertedResidual,
  MaxPool2d,
  Module,
  manualSeed,
  memory,
  noGrad,
  numThreads,
  ReLU,
  randn,
  Sequential,
  Sigmoid,
  SiLU,
  SqueezeExcitation,
  setDefaultDevice,
  setNumThreads,
  split,
  type Tensor4D,
} from '../../lib/index.js';
import { throwsCode } from '../helpers/errors.js';
import { settled } from '../helpers/memory.js';

test.serial.beforeEach(settled); // what earlier tests forgot is not to vanish while memory is compared

const threads = numThreads();
test.before(() => setDefaultDevice('cpu'));
test.serial.beforeEach(() => setNumThreads(2)); // one image of SIDE x SIDE at a time
test.serial.afterEach.always(() => setNumThreads(threads));

const SIDE = 320;

/** Keeps the shapes of what it is given. */
class Witness extends Module<Tensor4D, Tensor4D> {
  readonly seen: string[] = [];
  override forward(x: Tensor4D): Tensor4D {
    this.seen.push(x.shape.join(' '));
    return x;
  }
}

/** With blocks of MobileNetV3, and the activations that are not fused. */
function gated(): Sequential<Tensor4D, Tensor4D> {
  manualSeed(1);
  return new Sequential<Tensor4D, Tensor4D>(
    new Sequential(new Conv2d(3, 8, 5, { stride: 4 }), new BatchNorm2d(8), new Hardswish()),
    new InvertedResidual(8, 8, { squeezeChannels: 4, activation: 'hardswish' }),
    new SiLU(),
    new SqueezeExcitation(8, 2),
    new Bottleneck(8, 4, { cardinality: 2, squeezeReduction: 4 }),
    new InvertedResidual(8, 16, { stride: 2 }),
    new Sequential(new Sigmoid(), new Hardsigmoid()),
  ).eval() as Sequential<Tensor4D, Tensor4D>;
}

function network(...last: Module[]): Sequential<Tensor4D, Tensor4D> {
  manualSeed(1);
  return new Sequential<Tensor4D, Tensor4D>(
    new Sequential(new Conv2d(3, 8, 5, { stride: 4 }), new BatchNorm2d(8), new ReLU()),
    new MaxPool2d(2),
    new Bottleneck(8, 8, { cardinality: 2, projection: true }),
    new Bottleneck(16, 8, { cardinality: 2, form: 'concat' }),
    new DepthwiseSeparable(16, 8, { stride: 2 }),
    ...last,
  ).eval() as Sequential<Tensor4D, Tensor4D>;
}

for (const make of [network, gated])
  test.serial(`${make.name}: a batch gives the bits of its images, and leaks nothing`, async (t) => {
    const model = make();
    const x = randn([3, 3, SIDE, SIDE]);
    const before = memory().bytes;
    noGrad(() => {
      using y = model.forward(x);
      const images = split(x, 1, 0);
      const each = images.map((image) => model.forward(image));
      using joined = concat(each, 0);
      for (const tensor of [...images, ...each]) tensor.dispose();
      t.deepEqual(y.dataSync(), joined.dataSync());
    });
    t.is((await settled()).bytes, before);
  });

for (const make of [network, gated])
  test.serial(`${make.name}: a batch takes the memory of few images`, (t) => {
    const model = make();
    const peakOf = (images: number) => {
      using x = randn([images, 3, SIDE, SIDE]);
      memory({ resetPeak: true });
      const { bytes } = memory();
      noGrad(() => model.forward(x).dispose());
      return memory().peakBytes - bytes;
    };
    peakOf(1); // prepares the weights
    const one = peakOf(1);
    const many = peakOf(16); // with an image's copy and all results
    t.true(many < 8 * one, `${one} bytes for one image, ${many} for sixteen`);
  });

test.serial('what may look across images gets them all', (t) => {
  const witness = new Witness();
  const model = network(witness, new Conv2d(8, 8, 1));
  const x = randn([3, 3, SIDE, SIDE]);
  noGrad(() => model.forward(x).dispose());
  t.deepEqual(witness.seen, ['3 8 20 20']);

  const inside = network();
  const [, , block] = [...inside] as [Module, Module, Bottleneck];
  Object.assign(block.residual, { 0: witness });
  noGrad(() => inside.forward(x).dispose());
  t.is(witness.seen.at(-1), '3 8 39 39');

  const own = new BatchNorm2d(8, { trackRunningStats: false });
  const normalised = network(own);
  noGrad(() => {
    using y = normalised.forward(x);
    using plain = network().forward(x);
    using expected = own.forward(plain);
    t.deepEqual(y.dataSync(), expected.dataSync());
  });
});

test.serial('modules that do nothing return the batch itself', (t) => {
  const nothing = new Sequential(new Identity(), new Identity(), new Identity()).eval();
  const witness = new Witness();
  const watched = new Sequential(new Identity(), new Identity(), witness).eval();
  const x = randn([3, 3, SIDE, SIDE]);
  noGrad(() => {
    t.true((nothing.forward(x) as unknown) === x);
    t.true((watched.forward(x) as unknown) === x);
  });
  t.false(x.disposed);
  t.deepEqual(witness.seen, [`3 3 ${SIDE} ${SIDE}`]);
});

test.serial('with gradients, in training, and for small images the batch stays whole', (t) => {
  const model = network();
  const conv = ([...model][0] as Sequential)[0] as Conv2d;
  const { forward } = conv;
  const seen: number[] = [];
  const x = randn([2, 3, SIDE, SIDE]);
  const y = model.forward(x);
  t.true(y.requiresGrad);
  y.backward(randn(y.shape));
  t.truthy(conv.weight.grad);
  Object.defineProperty(conv, 'forward', {
    value: (images: Tensor4D) => {
      seen.push(images.shape[0]);
      return forward.call(conv, images);
    },
  });
  noGrad(() => model.forward(x).dispose());
  noGrad(() => model.forward(randn([9, 3, 40, 40])).dispose());
  t.deepEqual(seen, [2, 9]);
});

test.serial('what is wrong is told of the batch; captured, it is the same', (t) => {
  const model = network();
  const wrong = randn([3, 4, SIDE, SIDE]);
  noGrad(() => throwsCode(t, 'INVALID_SHAPE', () => model.forward(wrong), /\[3, 4, 320, 320\]/));
  using x16 = randn([3, 3, SIDE, SIDE]);
  const narrow = x16.to('float16') as unknown as Tensor4D;
  noGrad(() => throwsCode(t, 'UNSUPPORTED', () => model.forward(narrow), /conv2d: x is float16/));
  const x = randn([3, 3, SIDE, SIDE]);
  const run = capture(() => noGrad(() => model.forward(x)));
  const replayed = run().dataSync();
  noGrad(() => t.deepEqual(replayed, model.forward(x).dataSync()));
  run.dispose();
});
