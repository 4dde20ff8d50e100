import test from 'ava';
import {
  capture,
  crossEntropy,
  full,
  memory,
  optim,
  reshape,
  scope,
  type Tensor,
  type Tensor1D,
  type Tensor2D,
  tensor,
  zeros,
} from '../lib/index.js';
import { rejectsCode, throwsCode } from './helpers/errors.js';
import { settled } from './helpers/memory.js';

test.serial.beforeEach(settled); // what earlier tests forgot is not to vanish while memory is compared

const parameter = (...values: number[]) =>
  tensor(Float32Array.from(values), [values.length], { requiresGrad: true });

function setGradient(param: Tensor, ...values: number[]): void {
  param.grad = tensor(Float32Array.from(values), [values.length]) as Tensor;
}

test.serial('scale multiplies the loss and its gradient', (t) => {
  const scaler = new optim.GradScaler({ initialScale: 1024 });
  const loss = tensor(0.375, undefined, { requiresGrad: true });
  const scaled = scaler.scale(loss);
  t.deepEqual([...scaled.shape], []);
  t.is(scaled.item(), 384);
  scaled.backward();
  t.is(loss.grad?.item(), 1024);
});

test.serial('step takes the scale back out of the gradients and steps', async (t) => {
  const scaler = new optim.GradScaler({ initialScale: 256 });
  const param = parameter(1, 2);
  const untouched = parameter(5);
  const optimizer = new optim.SGD([param, untouched], { lr: 0.5 });
  setGradient(param, 256, -512);
  t.true(await scaler.step(optimizer));
  t.deepEqual([...(param.grad?.dataSync() ?? [])], [1, -2]);
  t.deepEqual([...param.dataSync()], [0.5, 3]);
  t.deepEqual([...untouched.dataSync()], [5]);
  scaler.update();
  t.is(scaler.currentScale, 256);
});

test.serial('step clips the norm of the unscaled gradients', async (t) => {
  const scaler = new optim.GradScaler({ initialScale: 64 });
  const param = parameter(0, 0);
  const optimizer = new optim.SGD([param], { lr: 1 });
  setGradient(param, 3 * 64, 4 * 64);
  t.true(await scaler.step(optimizer, { clipGradNorm: 1 }));
  const [a, b] = param.dataSync();
  t.true(Math.abs(a! + 0.6) < 1e-6 && Math.abs(b! + 0.8) < 1e-6);
});

for (const overflow of [Infinity, -Infinity, NaN])
  test.serial(`a gradient of ${overflow} skips the step, the optimiser's state included`, async (t) => {
    const scaler = new optim.GradScaler({ initialScale: 1024, backoffFactor: 0.25 });
    const [param, other] = [parameter(1, 2, 3), parameter(4)];
    const optimizer = new optim.AdamW([param, other], { lr: 0.5 });
    setGradient(param, 1, overflow, 3);
    setGradient(other, 1);
    t.false(await scaler.step(optimizer));
    t.deepEqual([...param.dataSync()], [1, 2, 3]);
    t.deepEqual([...other.dataSync()], [4]);
    t.is(optimizer.stateDict().size, 0);
    scaler.update();
    t.is(scaler.currentScale, 256);
  });

test.serial(
  'the scale follows torch.amp: grows after an interval without overflow, falls with one',
  async (t) => {
    const scaler = new optim.GradScaler({ initialScale: 8, growthInterval: 3, growthFactor: 4 });
    const param = parameter(1);
    const optimizer = new optim.SGD([param], { lr: 0 });
    const scales: number[] = [];
    for (const gradient of [1, 1, Infinity, 1, 1, 1, 1, 1, NaN, 1, 1, 1]) {
      setGradient(param, gradient);
      await scaler.step(optimizer);
      scaler.update();
      scales.push(scaler.currentScale);
    }
    t.deepEqual(scales, [8, 8, 4, 4, 4, 16, 16, 16, 8, 8, 8, 32]);
    const resumed = new optim.GradScaler({ growthInterval: 3 });
    setGradient(param, 1);
    await scaler.step(optimizer);
    scaler.update();
    resumed.loadState(JSON.parse(JSON.stringify(scaler.state())));
    t.deepEqual(resumed.state(), { scale: 32, growthTracker: 1 });
  },
);

test.serial('the scale stays a float32', async (t) => {
  const scaler = new optim.GradScaler({ initialScale: 2 ** 127, growthInterval: 1 });
  const param = parameter(1);
  const optimizer = new optim.SGD([param], { lr: 0 });
  setGradient(param, 1);
  t.true(await scaler.step(optimizer));
  scaler.update();
  t.is(scaler.currentScale, 2 ** 127);
});

test.serial('the scale stays above zero, and in a checkpoint', async (t) => {
  const scaler = new optim.GradScaler({ initialScale: 2 ** -125 });
  const param = parameter(1);
  const optimizer = new optim.SGD([param], { lr: 0 });
  for (const scale of [2 ** -126, 2 ** -126]) {
    setGradient(param, NaN);
    t.false(await scaler.step(optimizer));
    scaler.update();
    t.is(scaler.currentScale, scale);
  }
  t.notThrows(() => scaler.loadState(scaler.state()));
  t.is(new optim.GradScaler({ initialScale: 0.1 }).currentScale, Math.fround(0.1));
});

test.serial('a captured loss follows the scale, wherever the scaler was used first', (t) => {
  const scaler = new optim.GradScaler({ initialScale: 8 });
  const loss = tensor([3], [1], { requiresGrad: true });
  const step = capture(() => {
    loss.grad = null;
    const scaled = scaler.scale(reshape(loss, []));
    scaled.backward();
    return scaled;
  });
  t.is(step().item(), 24);
  scaler.loadState({ scale: 2, growthTracker: 0 });
  t.is(step().item(), 6);
  t.is(loss.grad?.item(), 2);
  step.dispose();
});

test.serial('a step that fails counts as not made: the next one is well', async (t) => {
  const scaler = new optim.GradScaler({ initialScale: 4 });
  const logits = tensor([[1, 2, 3]], undefined, { requiresGrad: true }) as Tensor2D;
  const optimizer = new optim.SGD([logits], { lr: 1 });
  const labels = tensor(Int32Array.of(7)) as Tensor1D<'int32'>;
  const backward = () => scope(() => scaler.scale(crossEntropy(logits, labels)).backward());
  backward();
  await rejectsCode(t, 'INVALID_ARGUMENT', scaler.step(optimizer), /label/);
  throwsCode(t, 'INVALID_ARGUMENT', () => scaler.update(), /no step/);
  labels.set(Int32Array.of(1));
  optimizer.zeroGrad();
  backward();
  t.true(await scaler.step(optimizer));
  t.notThrows(() => scaler.update());
});

test.serial('a loss is scaled by what is the scale when it runs', async (t) => {
  const scaler = new optim.GradScaler({ initialScale: 8 });
  const loss = tensor(1, undefined, { requiresGrad: true });
  const scaled = scaler.scale(loss);
  scaler.loadState({ scale: 2, growthTracker: 0 });
  t.is(scaler.scale(loss).item(), 2);
  throwsCode(t, 'INVALID_ARGUMENT', () => scaled.backward(), /changed in place/);
});

test.serial('several optimisers, one scale: any overflow lowers it, each skips for itself', async (t) => {
  const scaler = new optim.GradScaler({ initialScale: 2 });
  const [a, b] = [parameter(1), parameter(1)];
  const [one, two] = [new optim.SGD([a], { lr: 1 }), new optim.SGD([b], { lr: 1 })];
  setGradient(a, 2);
  setGradient(b, Infinity);
  t.deepEqual([await scaler.step(one), await scaler.step(two)], [true, false]);
  t.deepEqual([a.item(), b.item()], [0, 1]);
  scaler.update();
  t.is(scaler.currentScale, 1);
});

test.serial('scaled training equals training without: powers of two lose nothing', async (t) => {
  const train = async (scaler: optim.GradScaler | null) => {
    const param = parameter(0.3, -0.7, 0.9);
    const optimizer = new optim.SGD([param], { lr: 0.1, momentum: 0.9 });
    for (let step = 1; step <= 3; step++) {
      const factor = scaler ? scaler.currentScale : 1;
      setGradient(param, 0.1 * step * factor, -0.2 * factor, 0.3 * factor);
      if (!scaler) optimizer.step();
      else {
        await scaler.step(optimizer);
        scaler.update();
      }
    }
    return param.dataSync();
  };
  const plain = await train(null);
  const scaled = await train(new optim.GradScaler());
  t.true(plain.every((value, i) => Math.abs(value - scaled[i]!) < 1e-7));
});

test.serial('nothing is left behind', async (t) => {
  const param = parameter(1);
  const optimizer = new optim.SGD([param], { lr: 1 });
  const scaler = new optim.GradScaler();
  const before = (await settled()).bytes;
  for (let i = 0; i < 3; i++) {
    scope(() => {
      const loss = full([], 1, { requiresGrad: true });
      scaler.scale(loss).backward();
    });
    setGradient(param, 1);
    await scaler.step(optimizer);
    scaler.update();
    optimizer.zeroGrad();
  }
  scaler.dispose();
  t.is(memory().bytes, before);
});

test.serial('bad input', async (t) => {
  const scaler = (options: object) => () => new optim.GradScaler(options);
  throwsCode(t, 'INVALID_ARGUMENT', scaler({ scale: 2 }), /unknown option scale/);
  for (const initialScale of [0, -1, NaN, Infinity, 1e-300, '2'])
    throwsCode(t, 'INVALID_ARGUMENT', scaler({ initialScale }), /initialScale/);
  throwsCode(t, 'INVALID_ARGUMENT', scaler({ growthFactor: 0.5 }), /growthFactor/);
  for (const backoffFactor of [0, 1, 2])
    throwsCode(t, 'INVALID_ARGUMENT', scaler({ backoffFactor }), /backoffFactor/);
  throwsCode(t, 'INVALID_ARGUMENT', scaler({ growthInterval: 0.5 }), /growthInterval/);
  const good = new optim.GradScaler();
  throwsCode(t, 'INVALID_ARGUMENT', () => good.loadState({ scale: 0, growthTracker: 0 }), /scale/);
  throwsCode(t, 'INVALID_ARGUMENT', () => good.loadState({ scale: 1, growthTracker: -1 }), /growthTracker/);
  throwsCode(t, 'INVALID_ARGUMENT', () => good.update(), /no step/);
  throwsCode(t, 'INVALID_SHAPE', () => good.scale(zeros([2]) as never), /reshape|scale/);
  throwsCode(t, 'UNSUPPORTED', () => good.scale(zeros([], { dtype: 'int32' }) as never), /int32/);
  const param = parameter(1);
  const optimizer = new optim.SGD([param], { lr: 1 });
  await rejectsCode(t, 'INVALID_ARGUMENT', good.step(optimizer), /no parameter has a gradient/);
  await rejectsCode(t, 'INVALID_ARGUMENT', good.step({} as never), /expected an optimiser/);
  setGradient(param, 1);
  await rejectsCode(t, 'INVALID_ARGUMENT', good.step(optimizer, { clip: 1 } as object), /unknown option/);
  await rejectsCode(t, 'INVALID_ARGUMENT', good.step(optimizer, { clipGradNorm: 0 }), /clipGradNorm/);
  const step = good.step(optimizer);
  throwsCode(t, 'INVALID_ARGUMENT', () => good.update(), /await step/);
  t.true(await step);
  await rejectsCode(t, 'INVALID_ARGUMENT', good.step(optimizer), /since the last update/);
});
