/**
 * Several GPUs: tensors, gradients and modules go from one to another, and each has its own memory. On two emulated
 * devices, which `npm run test:native` builds; with GROUPCONV_DEVICE=cuda, on the real ones that there are.
 */
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import test, { type ExecutionContext } from 'ava';
import {
  add,
  BatchNorm2d,
  Conv2d,
  capture,
  conv2d,
  type Device,
  devices,
  memory,
  ones,
  optim,
  ReLU,
  randn,
  relu,
  Sequential,
  scope,
  setDefaultDevice,
  synchronize,
  type Tensor,
  type Tensor4D,
  tensor,
  zeros,
} from '../../lib/index.js';
import { throwsCode } from '../helpers/errors.js';

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const emulated = join(root, 'build-test', 'Release', 'libgroupconv_cuda_emulated.so');
if (!process.env.GROUPCONV_DEVICE?.startsWith('cuda')) {
  process.env.GROUPCONV_CUDA_LIBRARY = emulated;
  process.env.GROUPCONV_EMULATED_DEVICES = '2';
  if (process.env.GROUPCONV_CUDA_TESTS !== 'required' && !existsSync(emulated))
    console.log(`    skipped: no ${emulated}`);
}
const [first, second] = ['cuda:0', 'cuda:1'] as const;
const usable = devices().filter(({ available, device }) => available && device !== 'cpu').length;
const isRequired = process.env.GROUPCONV_CUDA_TESTS === 'required' && !process.env.GROUPCONV_DEVICE;
const withTwo = usable > 1 || isRequired ? test.serial : test.serial.skip;
if (usable < 2) test('fewer than two CUDA devices: some tests are skipped', (t) => t.pass());

function isClose(t: ExecutionContext, actual: Tensor | null, expected: Tensor | null): void {
  const [a, b] = [actual?.dataSync() ?? [], expected?.dataSync() ?? []];
  t.true(a.length === b.length && b.length > 0);
  const far = (x: number, y: number) => !(Math.abs(x - y) <= 1e-4 * (1 + Math.abs(y)));
  const where = [...b].findIndex((y, i) => far(a[i] as number, y));
  t.is(where, -1, `${a[where]} for ${b[where]}`);
}

const small = () =>
  new Sequential<Tensor4D>(new Conv2d(4, 8, 3, { padding: 1, groups: 2 }), new BatchNorm2d(8), new ReLU());

withTwo('each computes, forward and backward', (t) => {
  const [values, filter] = [randn([2, 8, 7, 6], { device: 'cpu' }), randn([8, 2, 3, 3], { device: 'cpu' })];
  const run = (device: Device) => {
    const x = tensor(values.dataSync(), [2, 8, 7, 6], { device, requiresGrad: true });
    const weight = tensor(filter.dataSync(), [8, 2, 3, 3], { device, requiresGrad: true });
    const y = relu(conv2d(x, weight, { groups: 4, padding: 1 }));
    y.backward(ones([2, 8, 7, 6], { device }));
    for (const each of [y, x.grad, weight.grad]) t.is(each?.device, device);
    return [y, x.grad, weight.grad];
  };
  const expected = run('cpu');
  for (const device of [second, first])
    run(device).forEach((each, i) => {
      isClose(t, each, expected[i] ?? null);
    });
});

withTwo('a tensor moves from one to another, and its gradient back', (t) => {
  for (const [from, to] of [
    [first, second],
    [second, first],
  ] as const) {
    const x = tensor([-1, 2, 3], undefined, { device: from, requiresGrad: true });
    const moved = x.to(to);
    t.is(moved.device, to);
    t.deepEqual([...moved.dataSync()], [-1, 2, 3]);
    relu(moved).backward(tensor([4, 5, 6], undefined, { device: to }));
    t.is(x.grad?.device, from);
    t.deepEqual([...(x.grad?.dataSync() ?? [])], [0, 5, 6]);
    relu(x.to(to).to(from)).backward(tensor([1, 1, 1], undefined, { device: from }));
    t.deepEqual([...(x.grad?.dataSync() ?? [])], [0, 6, 7]);
  }
  const large = randn([3, 5, 64, 64], { device: first });
  for (const dtype of ['float32', 'bfloat16', 'float16'] as const)
    t.deepEqual(large.to(dtype).to(second).dataSync(), large.to(dtype).dataSync());
});

withTwo('what is queued on both runs on both', async (t) => {
  const on = (device: Device) => tensor([1, 2, 3], undefined, { device });
  const [a, b] = [on(first), on(second)];
  let [x, y] = [a, b];
  for (let i = 0; i < 50; i++) [x, y] = [add(x, a), add(y, y.to(first).to(second))];
  await Promise.all([synchronize(first), synchronize(second)]);
  t.deepEqual([...x.dataSync()], [51, 102, 153]);
  t.deepEqual([...y.dataSync()], [2 ** 50, 2 ** 51, 3 * 2 ** 50]);
});

withTwo('tensors of both in one call are an error that names both', (t) => {
  const [a, b] = [ones([2], { device: first }), ones([2], { device: second })];
  throwsCode(t, 'INVALID_ARGUMENT', () => add(a, b), /^add: a is on cuda:0, b on cuda:1/);
  const parameters = [zeros([2], { device: second, requiresGrad: true }), zeros([2], { device: first })];
  throwsCode(t, 'INVALID_ARGUMENT', () => new optim.SGD(parameters, { lr: 1 }), /parameter 1 on cuda:0/);
});

withTwo('a module goes on training where it is moved', (t) => {
  const x = randn([4, 4, 5, 5], { device: 'cpu' });
  const [moving, staying] = [small().to(first), small().to('cpu')];
  staying.loadStateDict(moving.stateDict());
  const train = (model: ReturnType<typeof small>, device: Device) =>
    scope(() => {
      const optimizer = new optim.SGD(model.parameters(), { lr: 0.1, momentum: 0.9 });
      for (let step = 0; step < 3; step++) {
        optimizer.zeroGrad();
        const y = model.forward(x.to(device));
        y.backward(ones(y.shape, { device }));
        optimizer.step();
      }
      optimizer.dispose();
    });
  for (const device of [first, second, first]) {
    moving.zeroGrad();
    staying.zeroGrad();
    moving.to(device);
    train(moving, device);
    train(staying, 'cpu');
    for (const [name, value] of moving.stateDict()) {
      t.is(value.device, device, name);
      isClose(t, value.to('float32'), staying.stateDict().get(name)?.to('float32') ?? null);
    }
    for (const parameter of moving.parameters()) t.is(parameter.grad?.device, device);
  }
  moving.dispose();
  staying.dispose();
});

withTwo('each counts its own memory', async (t) => {
  const now = () => [first, second].map((device) => memory({ device }).bytes);
  const before = now();
  const x = zeros([1000], { device: second });
  t.deepEqual(now(), [before[0], (before[1] as number) + 4000]);
  t.true(memory({ device: second }).reservedBytes >= 4000);
  const moved = x.to(first);
  t.deepEqual(now(), [(before[0] as number) + 4000, (before[1] as number) + 4000]);
  x.dispose();
  t.deepEqual(now(), [(before[0] as number) + 4000, before[1]]);
  moved.dispose();
  t.deepEqual(now(), before);

  const model = small().to(first);
  const size = (now()[0] as number) - (before[0] as number);
  t.true(size > 0);
  model.to(second);
  t.deepEqual(now(), [before[0], (before[1] as number) + size]);
  model.dispose();
  t.deepEqual(now(), before);
});

withTwo('the second one may be the default, and what is captured there stays there', (t) => {
  setDefaultDevice(second);
  try {
    const x = tensor([1, -2]);
    t.is(x.device, second);
    const step = capture(() => relu(x));
    t.is(step().device, second);
    x.set(Float32Array.of(-3, 4));
    t.deepEqual([...step().dataSync()], [0, 4]);
    step.dispose();
    const elsewhere = ones([2], { device: first });
    throwsCode(t, 'INVALID_ARGUMENT', () => capture(() => [relu(x), relu(elsewhere)]), /tensors are on/);
  } finally {
    setDefaultDevice('cpu');
  }
});
