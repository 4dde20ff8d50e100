import test from 'ava';
import {
  BatchNorm2d,
  Conv2d,
  crossEntropy,
  Flatten,
  type FloatDType,
  Hardswish,
  Identity,
  InvertedResidual,
  Linear,
  manualSeed,
  optim,
  ReLU,
  randn,
  relu,
  Sequential,
  SqueezeExcitation,
  scope,
  summary,
  type Tensor2D,
  type Tensor4D,
  tensor,
} from '../lib/index.js';
import { narrowDevice, reasonWithout } from './helpers/devices.js';
import { throwsCode } from './helpers/errors.js';
import { close } from './helpers/state.js';

/** What lies between convolutions in MobileNetV3. */
function gated(): Sequential<Tensor4D, Tensor2D> {
  manualSeed(3);
  return new Sequential<Tensor4D, Tensor2D>(
    new Conv2d(3, 8, 3, { padding: 1 }),
    new Hardswish(),
    new InvertedResidual(8, 8, { squeezeChannels: 4, activation: 'hardswish' }),
    new SqueezeExcitation(8, 4, { activation: 'silu' }),
    new Conv2d(8, 8, 3, { stride: 2 }),
    new Flatten(),
    new Linear(8 * 9, 5),
  );
}

function net(): Sequential<Tensor4D, Tensor2D> {
  manualSeed(3);
  return new Sequential<Tensor4D, Tensor2D>(
    new Conv2d(3, 8, 3, { padding: 1 }),
    new BatchNorm2d(8),
    new ReLU(),
    new Conv2d(8, 8, 3, { groups: 2, stride: 2 }),
    new Flatten(),
    new Linear(8 * 9, 5),
  );
}
const labels = () => tensor(Int32Array.of(0, 4, 2, 1));

test.serial('a cast passes its gradient back in its own dtype, on every device', (t) => {
  const x = tensor([1, 2.5, -3], undefined, { requiresGrad: true });
  const narrow = x.to('bfloat16');
  t.is(narrow.dtype, 'bfloat16');
  t.true(narrow.requiresGrad);
  const wide = narrow.to('float32');
  wide.backward(tensor([1, 1.00390625, 1000])); // the second is halfway between two bfloat16s: to even
  t.is(x.grad?.dtype, 'float32');
  t.deepEqual([...(x.grad?.dataSync() ?? [])], [1, 1, 1000]);
  const half = tensor(3, undefined, { requiresGrad: true });
  half.to('float16').backward();
  t.is(half.grad?.item(), 1);
  throwsCode(t, 'UNSUPPORTED', () => x.to('int32'), /int32/);
  throwsCode(t, 'INVALID_ARGUMENT', () => x.to('bfloat16').backward(tensor([1, 1, 1]) as never), /bfloat16/);
});

test.serial('only float32 leaves require gradients', (t) => {
  const x = tensor([1, 2]).to('bfloat16');
  throwsCode(t, 'UNSUPPORTED', () => {
    x.requiresGrad = true;
  });
  t.false(x.requiresGrad);
});

test.serial('computeDtype float32 changes nothing, and null takes it back', (t) => {
  const model = net();
  const x = randn([4, 3, 8, 8]);
  model.eval();
  const plain = model.forward(x).dataSync();
  model.computeDtype = 'float32';
  t.deepEqual(model.forward(x).dataSync(), plain);
  t.is(model.computeDtype, 'float32');
  model.computeDtype = null;
  t.is(model.computeDtype, null);
  t.deepEqual(model.forward(x).dataSync(), plain);
  t.false([...model.stateDict().keys()].some((key) => key.includes('ompute')));
});

test.serial('a module that returns its input returns a tensor of its own under computeDtype', (t) => {
  const identity = new Identity();
  identity.computeDtype = 'bfloat16';
  const x = tensor([1.00390625, 3], undefined, { requiresGrad: true });
  const y = identity.forward(x);
  t.is(y.dtype, 'float32');
  t.deepEqual([...y.dataSync()], [1, 3]);
  t.false(x.disposed);
  y.backward(tensor([2, 5]));
  t.deepEqual([...(x.grad?.dataSync() ?? [])], [2, 5]);
});

test.serial('summary ignores it, and leaves it', (t) => {
  const model = net();
  const plain = String(summary(model, [4, 3, 8, 8]));
  model.computeDtype = 'float16';
  t.is(String(summary(model, [4, 3, 8, 8])), plain);
  t.is(model.computeDtype, 'float16');
});

test.serial('bad input', (t) => {
  const model = net();
  for (const dtype of ['int32', 'half', undefined, 16])
    throwsCode(
      t,
      'INVALID_ARGUMENT',
      () => {
        model.computeDtype = dtype as 'float32';
      },
      /computeDtype/,
    );
  t.is(model.computeDtype, null);
  model.computeDtype = 'bfloat16';
  throwsCode(t, 'INVALID_ARGUMENT', () => model.forward([1] as never), /not a tensor/);
  model.dispose();
  throwsCode(t, 'DISPOSED', () => {
    model.computeDtype = null;
  });
  throwsCode(t, 'DISPOSED', () => model.forward(randn([4, 3, 8, 8])));
});

test.serial('the CPU says that it computes in float32', (t) => {
  const x = randn([4, 3, 8, 8], { device: 'cpu' });
  throwsCode(t, 'UNSUPPORTED', () => relu(x.to('bfloat16')), /bfloat16, float32 is needed on this device/);
  const model = net().to('cpu');
  model.computeDtype = 'float16';
  throwsCode(t, 'UNSUPPORTED', () => model.forward(x), /float16, float32 is needed on this device/);
});

test.serial('parameters are float32: other dtypes are for storage', (t) => {
  const model = net().to('bfloat16');
  throwsCode(
    t,
    'UNSUPPORTED',
    () => model.forward(randn([4, 3, 8, 8])),
    /^conv2d: weight is bfloat16; it stays float32/,
  );
});

/** One step's loss, logits and gradients. */
function trainStep(model: Sequential<Tensor4D, Tensor2D>, x: Tensor4D, scale = 1) {
  const { device } = x;
  return scope(() => {
    const logits = model.forward(x);
    const loss = crossEntropy(logits, labels().to(device));
    loss.backward(scale === 1 ? undefined : tensor(scale, undefined, { device }));
    const gradients = model.parameters().map(({ grad }) => grad!.dataSync());
    return { dtypes: [logits.dtype, loss.dtype], loss: loss.item(), logits: logits.dataSync(), gradients };
  });
}

for (const [dtype, epsilon] of [
  ['bfloat16', 2 ** -8],
  ['float16', 2 ** -11],
] as [FloatDType, number][])
  test.serial(`forward and backward in ${dtype} agree with float32`, async (t) => {
    if (!narrowDevice) return t.pass(reasonWithout(t, 'a device that computes in 16 bits'));
    const x = randn([4, 3, 8, 8], { device: narrowDevice });
    const expected = trainStep(net().to(narrowDevice), x);
    const model = net().to(narrowDevice);
    model.computeDtype = dtype;
    const found = trainStep(model, x);
    t.deepEqual(found.dtypes, ['float32', 'float32']);
    t.notDeepEqual(found.logits, expected.logits);
    t.true(Math.abs(found.loss - expected.loss) < 8 * epsilon);
    close(t, found.logits, expected.logits, 8 * epsilon, 'logits');
    for (const [i, gradient] of found.gradients.entries())
      if (model.parameters()[i] !== (model[0] as Conv2d).bias)
        close(t, gradient, expected.gradients[i]!, 32 * epsilon, `gradient ${i}`); // before BatchNorm a bias has none
    for (const param of model.parameters()) t.is(param.grad?.dtype, 'float32');
  });

for (const [dtype, epsilon] of [
  ['bfloat16', 2 ** -8],
  ['float16', 2 ** -11],
] as [FloatDType, number][])
  test.serial(`squeeze-and-excitation in ${dtype} agrees with float32`, async (t) => {
    if (!narrowDevice) return t.pass(reasonWithout(t, 'a device that computes in 16 bits'));
    const x = randn([4, 3, 8, 8], { device: narrowDevice });
    const [model, wide] = [gated().to(narrowDevice), gated().to(narrowDevice)];
    const expected = trainStep(wide, x);
    model.computeDtype = dtype;
    const found = trainStep(model, x);
    t.notDeepEqual(found.logits, expected.logits);
    close(t, found.logits, expected.logits, 8 * epsilon, 'logits');
    for (const [i, gradient] of found.gradients.entries())
      close(t, gradient, expected.gradients[i]!, 64 * epsilon, `gradient ${i}`);
  });

test.serial('float16 training with a scaler: overflow is skipped, then it goes on', async (t) => {
  if (!narrowDevice) return t.pass(reasonWithout(t, 'a device that computes in 16 bits'));
  const x = randn([4, 3, 8, 8], { device: narrowDevice });
  const model = net().to(narrowDevice);
  model.computeDtype = 'float16';
  const optimizer = new optim.SGD(model.parameters(), { lr: 0.05, momentum: 0.9 });
  const scaler = new optim.GradScaler({ initialScale: 2 ** 24, backoffFactor: 2 ** -12 });
  const stepped: boolean[] = [];
  const losses: number[] = [];
  for (let step = 0; step < 6; step++) {
    const loss = scope(() => {
      const value = crossEntropy(model.forward(x), labels().to(x.device));
      optimizer.zeroGrad();
      scaler.scale(value).backward();
      return value;
    });
    stepped.push(await scaler.step(optimizer));
    scaler.update();
    losses.push(loss.item());
  }
  t.deepEqual(stepped, [false, true, true, true, true, true]);
  t.is(scaler.currentScale, 2 ** 12);
  t.is(losses[0], losses[1]); // the running statistics don't count in training mode
  t.true(losses[5]! < losses[1]! * 0.9, String(losses));
});
