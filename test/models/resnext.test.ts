import test from 'ava';
import {
  crossEntropy,
  type DType,
  type Module,
  manualSeed,
  memory,
  mobilenet_v1,
  mobilenet_v2,
  mobilenet_v3_large,
  mobilenet_v3_small,
  noGrad,
  ResNeXt,
  resnet50,
  resnext29_8x64d,
  resnext29_16x64d,
  resnext50_32x4d,
  resnext101_32x8d,
  resnext101_64x4d,
  Sequential,
  type Shape,
  seresnext50_32x4d,
  type Tensor,
  type Tensor2D,
  type Tensor4D,
  tensor,
  torchvisionState,
  zeros,
} from '../../lib/index.js';
import { type GoldenInput, hashedInput, loadCases, loadGolden } from '../golden/golden.js';
import { throwsCode } from '../helpers/errors.js';
import { dot } from '../helpers/gradients.js';
import { settled } from '../helpers/memory.js';
import { close, digest, fillState } from '../helpers/state.js';

test.serial.beforeEach(settled); // what earlier tests forgot is not to vanish while memory is compared

const count = (model: Module) => model.parameters().reduce((total, { size }) => total + size, 0);

interface Names {
  parameters: number;
  state: [string, number[]][];
}
const torchvision = loadCases<Record<string, Names>>('torchvision_keys');
const networks = {
  resnext50_32x4d,
  resnext101_32x8d,
  resnext101_64x4d,
  resnet50,
  seresnext50_32x4d,
  mobilenet_v2,
  mobilenet_v3_large,
  mobilenet_v3_small,
};

for (const [name, build] of Object.entries(networks))
  test.serial(`${name} is torchvision's: parameters, and state entries in order and by name`, (t) => {
    const wanted = torchvision[name] as Names;
    const model = build();
    t.is(count(model), wanted.parameters);
    const found = [...torchvisionState(model.stateDict())].map(([key, { shape }]) => [key, shape]);
    t.deepEqual(found, wanted.state);
    model.dispose();
  });

test.serial('the other networks have the parameters of their papers', (t) => {
  const counts: [Module, number][] = [
    [new ResNeXt(), 25_032_808],
    [resnext29_8x64d(), 34_426_698],
    [resnext29_16x64d(), 68_155_210],
    [mobilenet_v1(), 4_231_976],
    [mobilenet_v1(0.5), 1_331_592],
  ];
  for (const [model, parameters] of counts) {
    t.is(count(model), parameters);
    model.dispose();
  }
});

const small = {
  stem: 'cifar',
  blockRepeats: [
    [8, 1],
    [16, 2],
  ],
  cardinality: 4,
  numClasses: 5,
} as const;

test.serial("a state loads under torchvision's and timm's keys, within another module too", (t) => {
  using one = new ResNeXt(small);
  using two = new ResNeXt(small);
  const state = torchvisionState(one.stateDict());
  t.deepEqual([...state.keys()].slice(0, 2), ['conv1.weight', 'conv1.bias']);
  t.true(
    state.has('layer2.1.bn3.running_var') &&
      state.has('layer1.0.downsample.1.weight') &&
      state.has('fc.bias'),
  );
  t.notDeepEqual(digest(two), digest(one));
  two.loadStateDict(state);
  t.deepEqual(digest(two), digest(one));
  using around = new Sequential({ backbone: new ResNeXt(small) });
  around.loadStateDict(new Map([...state].map(([key, value]) => [`backbone.${key}`, value])));
  t.deepEqual(Object.values(digest(around)), Object.values(digest(one)));
  state.delete('bn1.num_batches_tracked'); // as in torchvision's oldest files
  two.loadStateDict(state);
  state.delete('layer2.1.bn3.bias');
  throwsCode(
    t,
    'INVALID_ARGUMENT',
    () => two.loadStateDict(state),
    /missing conv3_blocks\.1\.residual\.7\.bias$/,
  );
});

test.serial('children come in the order of the contract', (t) => {
  using model = new ResNeXt({ ...small, stem: 'imagenet' });
  t.deepEqual(
    model.namedChildren().map(([name]) => name),
    ['conv1', 'conv2_pool', 'conv2_blocks', 'conv3_blocks', 'gap', 'classifier'],
  );
  t.deepEqual(
    [...(model.conv3_blocks?.children()[1]?.namedChildren() ?? [])].map(([name]) => name),
    ['residual', 'shortcut', 'relu'],
  );
});

test.serial('manualSeed repeats the initial weights; they have the spread of He et al.', (t) => {
  const make = () => {
    manualSeed(11);
    return new ResNeXt(small);
  };
  using one = make();
  using two = make();
  t.deepEqual(digest(one), digest(two));
  const { weight } = one.conv1.children()[0] as unknown as { weight: Tensor4D };
  const values = [...weight.dataSync()];
  const mean = values.reduce((sum, v) => sum + v, 0) / values.length;
  const deviation = Math.sqrt(values.reduce((sum, v) => sum + (v - mean) ** 2, 0) / values.length);
  t.true(Math.abs(deviation / Math.sqrt(2 / (64 * 9)) - 1) < 0.06, `${deviation}`);
  const bound = 1 / Math.sqrt(32);
  const linear = [...one.classifier.weight.dataSync(), ...(one.classifier.bias?.dataSync() ?? [])];
  t.true(
    linear.every((v) => Math.abs(v) <= bound) &&
      Math.max(...linear) > 0.8 * bound &&
      Math.min(...linear) < -0.8 * bound,
  );
});

test.serial('zeroInitResidual: every block starts as its shortcut', (t) => {
  const zero = (model: ResNeXt) =>
    [...model.stateDict()]
      .filter(([key]) => /residual\.7\.weight/.test(key))
      .map(([, value]) => value.dataSync().every((v) => v === 0));
  using zeroed = new ResNeXt(small);
  using plain = new ResNeXt({ ...small, zeroInitResidual: false });
  t.deepEqual(zero(zeroed), [true, true, true]);
  t.deepEqual(zero(plain), [false, false, false]);
});

interface Net {
  name: string;
  x: GoldenInput;
  state: number;
  labels: number[];
  parameters: number;
  entries: number;
}
const makers: Record<string, () => Module> = {
  resnext50: () => resnext50_32x4d(),
  mobilenet_v1: () => mobilenet_v1(),
  resnext_review: () => new ResNeXt(),
  mobilenet_v2: () => mobilenet_v2(),
  mobilenet_v3_large: () => mobilenet_v3_large(),
  mobilenet_v3_small: () => mobilenet_v3_small(),
  seresnext50: () => seresnext50_32x4d(),
};

for (const net of loadCases<Net[]>('nets'))
  test.serial(`${net.name}: logits, loss and gradients are PyTorch's`, (t) => {
    const golden = loadGolden(net.name);
    const expected = (key: string) => golden.get(key)?.data ?? [];
    const start = memory().bytes;
    const model = (makers[net.name] as () => Module)().eval();
    t.is(count(model), net.parameters);
    t.is(model.stateDict().size, net.entries);
    fillState(t, model, net.state);
    const x = tensor(hashedInput(net.x), net.x.shape) as Tensor4D;
    const fused = noGrad(() => model.forward(x));
    close(t, fused.dataSync(), expected('logits'), 5e-6, 'logits, fused');
    fused.dispose();
    x.requiresGrad = true;
    const before = memory().bytes;
    const labels = tensor(Int32Array.from(net.labels));
    const logits = model.forward(x) as Tensor2D;
    const loss = crossEntropy(logits, labels);
    close(t, logits.dataSync(), expected('logits'), 5e-6, 'logits');
    close(t, [loss.item()], expected('loss'), 5e-6, 'loss');
    loss.backward();
    const dx = x.grad?.dataSync() ?? new Float32Array(0);
    close(t, dx.subarray(0, 512), expected('dxHead'), 2e-5, 'dx');
    close(t, [Math.hypot(...dx)], expected('dxNorm'), 1e-5, 'norm of dx');
    const norm = (values: ArrayLike<number>) => Math.sqrt(dot(values, values));
    for (const [i, [key, { grad }]] of model.namedParameters().entries())
      close(
        t,
        [norm(grad?.dataSync() ?? [])],
        [expected('gradNorms')[i] as number],
        2e-5,
        `norm of the gradient of ${key}`,
      );
    for (const owned of [labels, logits, loss]) owned.dispose();
    model.zeroGrad();
    x.grad = null;
    t.is(memory().bytes, before);
    x.dispose();
    model.dispose();
    t.is(memory().bytes, start);
  });

test.serial('an odd image, one channel, a batch of three', (t) => {
  using model = new ResNeXt({ ...small, inChannels: 1 }).eval();
  const x = zeros([3, 1, 9, 7]);
  const y: Tensor<Shape, DType> = noGrad(() => model.forward(x));
  t.deepEqual(y.shape, [3, 5]);
  for (const owned of [x, y]) owned.dispose();
});
