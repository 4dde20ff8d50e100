/** What it means that tensors are somewhere. Without a second device (a GPU, or the emulated one) tests say so and pass. */
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import {
  add,
  BatchNorm2d,
  Conv2d,
  conv2d,
  crossEntropy,
  type Device,
  getRandomState,
  Linear,
  loadSafetensors,
  memory,
  ones,
  optim,
  randn,
  saveSafetensors,
  scope,
  setRandomState,
  synchronize,
  tensor,
  zeros,
} from '../lib/index.js';
import { otherDevice, reasonWithout } from './helpers/devices.js';
import { rejectsCode, throwsCode } from './helpers/errors.js';

function onBoth(name: string, run: (t: ExecutionContext, there: Device) => void | Promise<void>): void {
  test.serial(name, (t) => {
    if (otherDevice) return run(t, otherDevice);
    t.pass(reasonWithout(t, 'a second device'));
  });
}

test.serial('a tensor that is there already moves for free', (t) => {
  const x = ones([2, 3], { device: 'cpu' });
  const before = memory({ device: 'cpu' }).bytes;
  using same = x.to('cpu');
  t.is(same.device, 'cpu');
  t.is(memory({ device: 'cpu' }).bytes, before);
  throwsCode(t, 'INVALID_ARGUMENT', () => x.to('gpu' as 'cpu'), /expected 'cpu', 'cuda'/);
  throwsCode(t, 'DEVICE_UNAVAILABLE', () => x.to('cuda:77'));
});

onBoth('values survive the way there and back, in every dtype and layout', (t, there) => {
  for (const dtype of ['float32', 'bfloat16', 'float16'] as const) {
    const x = randn([2, 5, 3, 7], { device: 'cpu' }).to(dtype);
    const moved = x.to(there);
    t.is(moved.device, there);
    t.is(moved.dtype, dtype);
    t.deepEqual(moved.dataSync(), x.dataSync());
    t.deepEqual(moved.to('cpu').dataSync(), x.dataSync());
  }
  const labels = tensor(Int32Array.of(3, -1, 2 ** 30), [3], { device: 'cpu' });
  t.deepEqual(labels.to(there).to('cpu').dataSync(), labels.dataSync());
});

onBoth('a move passes its gradient back to where the tensor came from', (t, there) => {
  const x = tensor([1, 2, 3], undefined, { device: 'cpu', requiresGrad: true });
  const moved = x.to(there);
  t.true(moved.requiresGrad);
  moved.backward(tensor([4, 5, 6], undefined, { device: there }));
  t.is(x.grad?.device, 'cpu');
  t.deepEqual([...(x.grad?.dataSync() ?? [])], [4, 5, 6]);
  const back = x.to(there).to('cpu');
  back.backward(tensor([1, 1, 1], undefined, { device: 'cpu' }));
  t.deepEqual([...(x.grad?.dataSync() ?? [])], [5, 6, 7]);
  throwsCode(
    t,
    'INVALID_ARGUMENT',
    () => x.to(there).backward(tensor([1, 1, 1], undefined, { device: 'cpu' })),
    new RegExp(`on cpu for a tensor of float32 on ${there}`),
  );
});

onBoth('tensors of two devices in one call are an error that names both', (t, there) => {
  const here = ones([1, 4, 5, 5], { device: 'cpu' });
  const weight = ones([4, 4, 1, 1], { device: there });
  throwsCode(
    t,
    'INVALID_ARGUMENT',
    () => conv2d(here, weight),
    new RegExp(`^conv2d: x is on cpu, weight on ${there}`),
  );
  throwsCode(t, 'INVALID_ARGUMENT', () => add(here, here.to(there)), /^add: a is on cpu, b on cuda/);
  throwsCode(
    t,
    'INVALID_ARGUMENT',
    () => crossEntropy(ones([1, 2], { device: there }), tensor(Int32Array.of(0), [1], { device: 'cpu' })),
    /labels on cpu/,
  );
  const parameters = [zeros([2], { device: 'cpu', requiresGrad: true }), zeros([2], { device: there })];
  throwsCode(t, 'INVALID_ARGUMENT', () => new optim.SGD(parameters, { lr: 1 }), /parameter 1 on cuda/);
});

onBoth('modules move with their state, and take states from anywhere', async (t, there) => {
  const model = new Linear(3, 2).to('cpu');
  const values = model.weight.dataSync();
  model.to(there);
  t.is(model.weight.device, there);
  t.true(model.weight.requiresGrad);
  t.deepEqual(model.weight.dataSync(), values);
  const other = new Linear(3, 2).to('cpu');
  model.loadStateDict(other.stateDict());
  t.is(model.weight.device, there);
  t.deepEqual(model.weight.dataSync(), other.weight.dataSync());
  const path = join(tmpdir(), `groupconv-devices-${process.pid}.safetensors`);
  await saveSafetensors(path, model.stateDict());
  const fresh = new Linear(3, 2).to(there);
  scope(() => fresh.loadStateDict(loadSafetensors(path)));
  t.deepEqual(fresh.bias?.dataSync(), other.bias?.dataSync());
});

onBoth('BatchNorm goes on counting batches from what was loaded before the move', (t, there) => {
  const norm = new BatchNorm2d(2).to('cpu');
  norm.num_batches_tracked?.set(Int32Array.of(1234));
  norm.to(there);
  scope(() => norm.forward(randn([2, 2, 3, 3], { device: there })));
  t.is(norm.num_batches_tracked?.item(), 1235);
});

onBoth("an optimiser's state lies with its parameters, wherever it is loaded from", (t, there) => {
  const state = new Map([['0.momentum_buffer', tensor([1, 2], undefined, { device: 'cpu' })]]);
  const optimizer = new optim.SGD([zeros([2], { device: there, requiresGrad: true })], {
    lr: 1,
    momentum: 0.9,
  });
  optimizer.loadStateDict(state as never);
  const copy = optimizer.stateDict().get('0.momentum_buffer');
  t.is(copy?.device, there);
  t.deepEqual([...(copy?.dataSync() ?? [])], [1, 2]);
});

onBoth('memory is counted by device', async (t, there) => {
  const before = [memory({ device: 'cpu' }), memory({ device: there })] as const;
  const x = tensor(new Float32Array(1000), [1000], { device: there });
  t.is(memory({ device: there }).bytes, before[1].bytes + 4000);
  t.is(memory({ device: there }).tensors, before[1].tensors + 1);
  t.is(memory({ device: 'cpu' }).bytes, before[0].bytes);
  t.is(memory({ device: 'cpu' }).tensors, before[0].tensors);
  x.dispose();
  t.is(memory({ device: there }).bytes, before[1].bytes);
  await t.notThrowsAsync(synchronize(there));
});

onBoth('the same seed gives the same numbers', (t, there) => {
  const state = getRandomState();
  const here = randn([1001], { device: 'cpu' }).dataSync();
  setRandomState(state);
  const elsewhere = randn([1001], { device: there }).dataSync();
  t.true(here.every((value, i) => Math.abs(value - elsewhere[i]!) <= 1e-6 * (1 + Math.abs(value))));
});

onBoth('a failure there is told where it is awaited', async (t, there) => {
  const logits = zeros([1, 3], { device: there });
  const loss = crossEntropy(logits, tensor(Int32Array.of(7), [1], { device: there }));
  await rejectsCode(t, 'INVALID_ARGUMENT', loss.data(), /label/);
  t.is(new Conv2d(1, 1, 1).to('cpu').weight.device, 'cpu');
});
