import test from 'ava';
import {
  add,
  conv2d,
  devices,
  full,
  keep,
  memory,
  noGrad,
  numThreads,
  ones,
  relu,
  scope,
  setDefaultDevice,
  setNumThreads,
  synchronize,
  type Tensor,
  tensor,
  zeros,
} from '../lib/index.js';
import { rejectsCode, throwsCode } from './helpers/errors.js';
import { settled } from './helpers/memory.js';

test.serial.beforeEach(settled); // what earlier tests forgot is not to vanish while memory is compared

test.serial('tensor takes nested lists, flat data with a shape, and typed arrays', async (t) => {
  const nested = tensor([
    [1, 2, 3],
    [4, 5, 6],
  ]);
  t.deepEqual([...nested.shape], [2, 3]);
  t.is(nested.rank, 2);
  t.is(nested.size, 6);
  t.deepEqual([...(await nested.data())], [1, 2, 3, 4, 5, 6]);
  t.deepEqual([...tensor([1, 2, 3, 4], [2, 2]).shape], [2, 2]);
  t.deepEqual([...tensor(5).shape], []);
  t.is(tensor(5).item(), 5);
  const integers = tensor(Int32Array.of(7, -8));
  t.is(integers.dtype, 'int32');
  t.deepEqual(await integers.data(), Int32Array.of(7, -8));
  t.deepEqual([...tensor(Float64Array.of(0.5, 1.5)).dataSync()], [0.5, 1.5]);
});

test.serial('data is in N C H W order whatever the device stores', async (t) => {
  const values = Float32Array.from({ length: 2 * 21 * 3 * 5 }, (_, i) => i);
  const x = tensor(values, [2, 21, 3, 5]);
  const same = relu(x);
  const sum = add(same, x);
  t.deepEqual(await same.data(), values);
  t.deepEqual(
    await sum.data(),
    values.map((v) => 2 * v),
  );
  t.deepEqual(await x.data(), values);
});

test.serial('the caller may change its array after tensor() returned', (t) => {
  const values = Float32Array.of(1, 2, 3);
  const x = tensor(values);
  values.fill(9);
  t.deepEqual([...x.dataSync()], [1, 2, 3]);
});

test.serial('full, zeros, ones, clone, detach, set', (t) => {
  t.deepEqual([...full([2, 2], 3.5).dataSync()], [3.5, 3.5, 3.5, 3.5]);
  t.deepEqual([...zeros([3], { dtype: 'int32' }).dataSync()], [0, 0, 0]);
  const one = ones([2]);
  const copy = one.clone();
  const shared = one.detach();
  one.set(Float32Array.of(5, 6));
  t.deepEqual([...copy.dataSync()], [1, 1]);
  t.deepEqual([...shared.dataSync()], [5, 6]);
});

test.serial('bfloat16 and float16 are stored in 16 bits and read as float32', async (t) => {
  const x = tensor([1, 1.00390625, 3.1425, -65504, 1e30]);
  const bf16 = x.to('bfloat16');
  t.is(bf16.dtype, 'bfloat16');
  t.deepEqual([...(await bf16.data())].slice(0, 3), [1, 1, 3.140625]);
  const f16 = x.to('float16');
  t.deepEqual([...f16.dataSync()], [1, 1.00390625, 3.142578125, -65504, Infinity]);
  t.deepEqual([...x.to('int32').dataSync()].slice(0, 4), [1, 1, 3, -65504]);
});

test.serial('backward adds to .grad and frees the graph', (t) => {
  const x = tensor([[-1, 2, 3]], undefined, { requiresGrad: true });
  const y = relu(x);
  y.backward(tensor([[10, 20, 30]]));
  t.deepEqual([...(x.grad?.dataSync() ?? [])], [0, 20, 30]);
  throwsCode(t, 'INVALID_ARGUMENT', () => y.backward(tensor([[1, 1, 1]])), /freed/);
  relu(x).backward(tensor([[1, 1, 1]]));
  t.deepEqual([...(x.grad?.dataSync() ?? [])], [0, 21, 31]);
  x.grad = null;
  t.is(x.grad, null);
});

test.serial('a value used twice gathers both gradients', (t) => {
  const x = tensor([1, -2], undefined, { requiresGrad: true });
  const y = add(relu(x), x);
  add(y, y).backward(tensor([1, 10]));
  t.deepEqual([...(x.grad?.dataSync() ?? [])], [4, 20]);
});

test.serial('noGrad and detach record nothing', (t) => {
  const x = tensor([1, 2], undefined, { requiresGrad: true });
  t.false(noGrad(() => relu(x)).requiresGrad);
  t.false(relu(x.detach()).requiresGrad);
  t.true(relu(x).requiresGrad);
  throwsCode(t, 'INVALID_ARGUMENT', () => noGrad(() => relu(x)).backward(tensor([1, 1])), /no graph/);
});

test.serial('a deep graph needs no deep stack', (t) => {
  const x = tensor([1], undefined, { requiresGrad: true });
  let y: Tensor<readonly [number]> = x;
  for (let i = 0; i < 20000; i++) {
    const next = relu(y);
    if (y !== x) y.dispose();
    y = next;
  }
  y.backward();
  t.is(x.grad?.item(), 1);
  t.notThrows(() => y.dispose());
});

test.serial('a saved tensor that was changed in place is noticed', (t) => {
  const x = tensor([1, 2], undefined, { requiresGrad: true });
  const y = relu(x);
  y.set(Float32Array.of(-1, -1));
  throwsCode(t, 'INVALID_ARGUMENT', () => y.backward(tensor([1, 1])), /changed in place/);
});

test.serial('disposing is final, idempotent, and frees what the graph holds', async (t) => {
  const before = await settled();
  const x = tensor(new Float32Array(1000), [1000], { requiresGrad: true });
  const inner = relu(x);
  const y = relu(inner);
  inner.dispose();
  t.is(memory().bytes, before.bytes + 12000); // the graph needs what the disposed tensor held
  y.dispose();
  y.dispose();
  t.is(memory().bytes, before.bytes + 4000);
  throwsCode(t, 'DISPOSED', () => relu(y));
  throwsCode(t, 'DISPOSED', () => scope(() => y.backward(tensor([1]))));
  throwsCode(t, 'DISPOSED', () => y.item());
  await rejectsCode(t, 'DISPOSED', y.data());
  x.dispose();
  t.is(memory().bytes, before.bytes);
  {
    using z = ones([10]);
    t.is(z.size, 10);
  }
  t.is(memory().bytes, before.bytes);
});

test.serial('scope disposes of what is not returned; keep and gradients stay', async (t) => {
  const before = (await settled()).tensors;
  const x = tensor([1, 2], undefined, { requiresGrad: true });
  let kept: Tensor | undefined;
  const result = scope(() => {
    const a = relu(x);
    kept = keep(ones([3]));
    scope(() => add(a, a)).backward(tensor([1, 1]));
    return { out: [relu(a)] };
  });
  t.is(memory().tensors, before + 4); // x, its gradient, kept and the result
  t.deepEqual([...(x.grad?.dataSync() ?? [])], [2, 2]);
  t.false(kept?.disposed);
  for (const item of [x, kept, ...result.out]) item?.dispose();
  t.is(memory().tensors, before);
  throwsCode(t, 'INVALID_ARGUMENT', () => scope(async () => 1), /synchronous/);
  t.throws(() =>
    scope(() => {
      ones([5]);
      throw new Error('mine');
    }),
  );
  t.is(memory().tensors, before);
});

test.serial('a scope of thousands of tensors loses none, whether or not they are disposed of', async (t) => {
  const before = (await settled()).tensors;
  const [first, kept, last] = scope(() => {
    const early = ones([1]);
    const held = ones([1]);
    for (let i = 0; i < 5000; i++) {
      const made = ones([1]);
      if (i % 3) made.dispose();
    }
    return [early, keep(held), ones([1])] as const;
  });
  t.is(memory().tensors, before + 3);
  for (const tensor of [first, kept, last]) tensor.dispose();
  t.is(memory().tensors, before);
});

test.serial('devices, default device, threads', async (t) => {
  t.is(devices()[0]?.device, 'cpu');
  const cuda = devices()[1];
  if (!cuda?.available) {
    t.truthy(cuda?.reason);
    throwsCode(t, 'DEVICE_UNAVAILABLE', () => ones([1], { device: 'cuda' }));
    throwsCode(t, 'DEVICE_UNAVAILABLE', () => ones([1]).to('cuda:1'));
    throwsCode(t, 'DEVICE_UNAVAILABLE', () => setDefaultDevice('cuda'));
    t.is(ones([1], { device: 'auto' }).device, 'cpu');
  }
  throwsCode(t, 'INVALID_ARGUMENT', () => ones([1], { device: 'tpu' as 'cpu' }));
  const threads = numThreads();
  setNumThreads(1);
  t.is(numThreads(), 1);
  setNumThreads(threads);
  throwsCode(t, 'INVALID_ARGUMENT', () => setNumThreads(0));
  throwsCode(t, 'INVALID_ARGUMENT', () => setNumThreads(1.5));
  await t.notThrowsAsync(synchronize());
});

test.serial('wrong calls throw before anything is queued', async (t) => {
  const before = (await settled()).tensors;
  throwsCode(t, 'INVALID_SHAPE', () => tensor([[1, 2], [3]]), /differ/);
  throwsCode(t, 'INVALID_SHAPE', () => tensor([1, 2, 3], [2, 2]), /takes 4 values, data has 3/);
  throwsCode(t, 'INVALID_SHAPE', () => zeros([0, 2]));
  throwsCode(t, 'INVALID_SHAPE', () => zeros([2.5]));
  throwsCode(t, 'INVALID_SHAPE', () => zeros([1, 1, 1, 1, 1, 1, 1]));
  throwsCode(t, 'INVALID_ARGUMENT', () => zeros([1], { type: 'int32' } as object), /unknown option type/);
  throwsCode(t, 'INVALID_ARGUMENT', () => zeros([1], { dtype: 'float64' as 'float32' }), /dtype/);
  throwsCode(t, 'INVALID_ARGUMENT', () => relu([1] as unknown as Tensor), /not a tensor/);
  throwsCode(t, 'OUT_OF_MEMORY', () => zeros([1 << 20, 1 << 19]));
  throwsCode(t, 'UNSUPPORTED', () => tensor([1], [1], { dtype: 'int32', requiresGrad: true }));
  t.is(memory().tensors, before);
  const integers = tensor(Int32Array.of(1));
  throwsCode(t, 'UNSUPPORTED', () => relu(integers as unknown as Tensor), /int32/);
  throwsCode(t, 'INVALID_SHAPE', () => zeros([2]).item(), /2 elements/);
  throwsCode(t, 'INVALID_SHAPE', () => zeros([2]).set(new Float32Array(3)), /takes 2 values/);
  throwsCode(t, 'INVALID_SHAPE', () => zeros([2]).set(new Int32Array(2) as never), /Float32Array/);
  throwsCode(t, 'INVALID_ARGUMENT', () => zeros([2]).copyFrom([1, 2] as never), /not a tensor/);
  throwsCode(t, 'INVALID_SHAPE', () => zeros([2]).copyFrom(zeros([1])), /\[1\] into \[2\]/);
  throwsCode(
    t,
    'INVALID_ARGUMENT',
    () => zeros([2]).copyFrom(zeros([2], { dtype: 'bfloat16' }) as never),
    /bfloat16 into float32/,
  );
  const leaf = zeros([2], { requiresGrad: true });
  throwsCode(t, 'INVALID_ARGUMENT', () => relu(leaf).backward([1, 1] as never), /gradient is not a tensor/);
  throwsCode(
    t,
    'INVALID_ARGUMENT',
    () => {
      leaf.grad = [1, 1] as never;
    },
    /expected a tensor or null/,
  );
  throwsCode(t, 'INVALID_ARGUMENT', () => memory({ reset: true } as object), /unknown option reset/);
  const x = ones([1, 48, 5, 5]);
  const weight = ones([64, 3, 3, 3]);
  throwsCode(
    t,
    'INVALID_SHAPE',
    () => conv2d(x, weight, { groups: 2 }),
    /^conv2d: weight \[64, 3, 3, 3\] with groups 2 takes 6 input channels, x \[1, 48, 5, 5\] has 48$/,
  );
});
