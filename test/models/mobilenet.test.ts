/** MobileNetV2 and V3 (their values and gradients: resnext.test.ts): widths, keys, modes, threads, memory. */
import test from 'ava';
import {
  crossEntropy,
  Identity,
  Linear,
  type Module,
  manualSeed,
  memory,
  mobilenet_v2,
  mobilenet_v3_large,
  mobilenet_v3_small,
  noGrad,
  numThreads,
  optim,
  ResNeXt,
  randn,
  scope,
  setNumThreads,
  summary,
  type Tensor2D,
  type Tensor4D,
  tensor,
  torchvisionState,
} from '../../lib/index.js';
import { throwsCode } from '../helpers/errors.js';
import { settled } from '../helpers/memory.js';
import { digest } from '../helpers/state.js';

test.serial.beforeEach(settled); // what earlier tests forgot is not to vanish while memory is compared
const threads = numThreads();
test.serial.afterEach.always(() => setNumThreads(threads));

const count = (model: Module) => model.parameters().reduce((total, { size }) => total + size, 0);

test.serial("width multipliers give torchvision's numbers of parameters", (t) => {
  const counts: [Module, number][] = [
    [mobilenet_v2(0.35), 1_677_128],
    [mobilenet_v2(1.4), 6_108_776],
    [mobilenet_v3_large(0.75), 3_377_576],
    [mobilenet_v3_small(0.5), 917_264],
  ];
  for (const [model, parameters] of counts) {
    t.is(count(model), parameters);
    model.dispose();
  }
});

const small: Record<string, () => Module<Tensor4D, Tensor2D>> = {
  mobilenet_v2: () => mobilenet_v2(0.25, { numClasses: 7 }),
  mobilenet_v3_large: () => mobilenet_v3_large(0.25, { numClasses: 7 }),
  mobilenet_v3_small: () => mobilenet_v3_small(0.25, { numClasses: 7 }),
  'SE-ResNeXt': () =>
    new ResNeXt({
      stem: 'cifar',
      cardinality: 4,
      squeezeReduction: 4,
      blockRepeats: [
        [16, 1],
        [24, 2],
      ],
      numClasses: 7,
    }),
};

for (const [name, make] of Object.entries(small)) {
  test.serial(`${name}: a state goes to torchvision's keys and back`, (t) => {
    using one = make();
    using two = make();
    const state = torchvisionState(one.stateDict());
    const fits = (key: string) => /^(features|classifier\.\d)\.|^(conv1|bn1|layer\d\.\d|fc)\./.test(key);
    t.true([...state.keys()].every(fits), [...state.keys()].filter((key) => !fits(key)).join());
    t.notDeepEqual(digest(two), digest(one));
    two.loadStateDict(state);
    t.deepEqual(digest(two), digest(one));
  });

  test.serial(`${name}: the same bits on every number of threads, in training and in evaluation`, (t) => {
    const run = (many: number) => {
      setNumThreads(many);
      manualSeed(4);
      using model = make();
      using optimizer = new optim.SGD(model.parameters(), { lr: 0.05, momentum: 0.9 });
      using x = randn([4, 3, 32, 32]);
      using labels = tensor(Int32Array.of(0, 1, 2, 3));
      const losses = [0, 1].map(() =>
        scope(() => {
          optimizer.zeroGrad();
          const loss = crossEntropy(model.forward(x), labels);
          loss.backward();
          optimizer.step();
          return loss.item();
        }),
      );
      model.zeroGrad();
      model.eval();
      using logits = noGrad(() => model.forward(x));
      return { losses, state: digest(model), logits: logits.dataSync() };
    };
    const wanted = run(1);
    t.true(wanted.logits.every(Number.isFinite));
    for (const many of [2, 3]) t.deepEqual(run(many), wanted);
  });

  test.serial(`${name}: memory returns to where it was`, (t) => {
    const start = memory().bytes;
    const model = make();
    const x = randn([2, 3, 32, 32]);
    const wrong = randn([1, 4, 32, 32]);
    const before = memory().bytes;
    for (const mode of ['train', 'eval'] as const) {
      model[mode]();
      model.forward(x).dispose();
      t.is(memory().bytes, before, `${mode}, graph dropped with the output`);
      noGrad(() => model.forward(x)).dispose();
      t.is(memory().bytes, before, `${mode}, without a graph`);
      const y = model.forward(x);
      scope(() => y.backward(randn(y.shape)));
      model.zeroGrad();
      y.dispose();
      t.is(memory().bytes, before, `${mode}, after backward`);
      throwsCode(t, 'INVALID_SHAPE', () => model.forward(wrong), /\[1, 4, 32, 32\]/);
      t.is(memory().bytes, before, `${mode}, after a wrong call`);
    }
    model.dispose();
    throwsCode(t, 'DISPOSED', () => model.forward(x));
    for (const owned of [x, wrong]) owned.dispose();
    t.is(memory().bytes, start);
  });
}

test.serial('dropout is random in training alone', (t) => {
  using model = mobilenet_v3_small(0.25, { numClasses: 7, dropout: 0.5 });
  using x = randn([2, 3, 32, 32]);
  const run = () => scope(() => [...noGrad(() => model.forward(x)).dataSync()]);
  for (const module of model.modules()) if (module.constructor.name === 'BatchNorm2d') module.eval();
  t.notDeepEqual(run(), run());
  model.eval();
  t.deepEqual(run(), run());
});

test.serial('another classifier, or none', (t) => {
  using model = mobilenet_v2(0.25).eval();
  using x = randn([2, 3, 32, 32]);
  model.classifier.dispose();
  model.classifier = new Identity();
  using features = noGrad(() => model.forward(x));
  t.deepEqual([...features.shape], [2, 1280]);
  model.classifier = new Linear(1280, 3);
  using logits = noGrad(() => model.forward(x));
  t.deepEqual([...logits.shape], [2, 3]);
});

test.serial("summary counts the parameters and torchvision's multiply-adds", (t) => {
  const wanted: [Module, parameters: number, billions: number][] = [
    [mobilenet_v2(), 3_504_872, 0.3],
    [mobilenet_v3_large(), 5_483_032, 0.22],
    [mobilenet_v3_small(), 2_542_856, 0.06],
  ];
  for (const [model, parameters, billions] of wanted) {
    const { rows, totalParams, multAdds } = summary(model, [1, 3, 224, 224]);
    t.is(totalParams, parameters);
    t.is(Math.round(multAdds / 1e7) / 100, billions);
    const squeezes = rows.filter(({ type }) => type === 'SqueezeExcitation');
    t.true(squeezes.every(({ outputShape }) => outputShape.length === 4));
    t.is(squeezes.length, billions === 0.3 ? 0 : billions === 0.22 ? 8 : 9);
    model.dispose();
  }
});
