/**
 * A captured function gives what calling it again would give, bit for bit; its memory stays flat and goes back.
 */
import { once } from 'node:events';
import { isDeepStrictEqual } from 'node:util';
import { Worker } from 'node:worker_threads';
import test from 'ava';
import {
  add,
  type Captured,
  capture,
  conv2d,
  crossEntropy,
  devices,
  dropout,
  manualSeed,
  memory,
  noGrad,
  numThreads,
  ones,
  optim,
  randn,
  relu,
  scope,
  setNumThreads,
  Tensor,
  type Tensor1D,
  type Tensor4D,
  tensor,
} from '../lib/index.js';
import { labelsOf, type Program, programs, smallResNeXt } from './helpers/capturedPrograms.js';
import { defaultDevice, isEmulated, skipsEmulated } from './helpers/devices.js';
import { rejectsCode, throwsCode } from './helpers/errors.js';
import { settled } from './helpers/memory.js';

test.serial.beforeEach(settled); // what earlier tests forgot is not to vanish while memory is compared

/** Reads every tensor in a result. */
function valuesIn(result: unknown): Uint8Array[] {
  if (result instanceof Tensor) return [bytesOf(result)];
  if (result instanceof Map) return [...result.values()].flatMap(valuesIn);
  return Object.values(result as object).flatMap(valuesIn);
}
const bytesOf = (value: Tensor | Tensor<readonly number[], 'int32'>) =>
  new Uint8Array(value.dataSync().buffer);

function readState(program: Program): [string, Uint8Array | number | null][] {
  return [...program.state()].map(([key, value]) => [
    key,
    typeof value === 'number' ? value : value && bytesOf(value),
  ]);
}

const calls = 6;

interface Followed {
  results: Uint8Array[][];
  states: ReturnType<typeof readState>[];
}

/** What every call returned, and the state after each. */
function follow(make: () => Program, captured: boolean): Followed {
  manualSeed(3);
  const program = make();
  const followed: Followed = { results: [], states: [] };
  let step: Captured<unknown> | null = null;
  for (let call = 0; call < calls; call++) {
    program.feed(call);
    if (!captured) scope(() => followed.results.push(valuesIn(program.run())));
    else if (step) followed.results.push(valuesIn(step()));
    else {
      step = capture(() => program.run());
      followed.results.push(valuesIn(step.result));
    }
    program.between?.(call);
    followed.states.push(readState(program));
  }
  step?.dispose();
  return followed;
}

const threadCounts = numThreads();
for (const [name, make] of Object.entries(programs))
  test.serial(`captured is eager, bit for bit: ${name}`, (t) => {
    for (const threads of isEmulated ? [2] : [1, 2]) {
      setNumThreads(threads);
      const eager = follow(make, false);
      const replayed = follow(make, true);
      for (let call = 0; call < calls; call++) {
        const where = `after call ${call}, ${threads} threads`;
        // Bits; not deepEqual on them, which takes its time.
        t.true(isDeepStrictEqual(replayed.results[call], eager.results[call]), `results ${where}`);
        for (const [i, state] of (eager.states[call] ?? []).entries())
          t.true(isDeepStrictEqual(replayed.states[call]?.[i], state), `${state[0]} ${where}`);
      }
      t.false(isDeepStrictEqual(eager.results[1], eager.results[4]), 'the calls differ');
    }
    setNumThreads(threadCounts);
  });

/** A training step takes half a second on the emulator. */
const many = isEmulated ? 20 : 1000;

test.serial('a thousand calls stay flat, and dispose gives everything back', async (t) => {
  const start = await settled();
  const model = smallResNeXt();
  const optimizer = new optim.SGD(model.parameters(), { lr: 0.01, momentum: 0.9 });
  const x = randn([4, 3, 8, 8]);
  const labels = tensor(labelsOf(0, 4)) as Tensor1D<'int32'>;
  const inputs = memory().bytes;
  const step = capture(() => {
    const loss = crossEntropy(model.forward(dropout(x, { p: 0.1 })), labels);
    optimizer.zeroGrad();
    loss.backward();
    optimizer.step();
    return loss;
  });
  t.true(step.bytes > 0);
  for (let i = 0; i < many / 20; i++) step();
  const before = await settled();
  for (let i = 0; i < many; i++)
    if (i % (many / 10) === 0) t.true(Number.isFinite(step().item()));
    else step();
  const after = await settled();
  t.deepEqual(
    { ...after, peakBytes: 0 },
    { ...before, peakBytes: 0 },
    'tensors, bytes, derived and reserved bytes',
  );
  t.true(after.bytes > inputs, 'gradients, momenta and the loss');
  optimizer.zeroGrad();
  optimizer.dispose();
  step.dispose();
  step.dispose();
  t.is(step.bytes, 0);
  t.is((await settled()).bytes, inputs);
  for (const item of [model, x, labels]) item.dispose();
  const end = await settled();
  t.is(end.bytes, start.bytes);
  t.is(end.tensors, start.tensors);
  t.is(end.derivedBytes, start.derivedBytes);
});

test.serial('memory of a disposed capture is used again', async (t) => {
  const model = smallResNeXt().eval();
  const x = randn([4, 3, 8, 8]);
  const round = async () => {
    using step = noGrad(() => capture(() => model.forward(x)));
    for (let i = 0; i < 3; i++) step();
    return (await settled()).reservedBytes;
  };
  const first = await round();
  for (let i = 0; i < (isEmulated ? 3 : 20); i++) t.is(await round(), first);
});

test.serial('gradients outlive their capture', (t) => {
  const w = randn([5], { requiresGrad: true });
  const x = randn([5]);
  const step = capture(() => {
    w.grad = null;
    relu(add(w, x)).backward(ones([5]));
  });
  step();
  const [before, grad] = [[...(w.grad?.dataSync() ?? [])], w.grad as Tensor];
  step.dispose();
  const others = Array.from({ length: 50 }, () => randn([5]));
  t.deepEqual([...grad.dataSync()], before);
  t.true(before.every((value) => value === 0 || value === 1));
  for (const other of others) other.dispose();
});

test.serial('a leaf that is gone gets no gradient', (t) => {
  const w = randn([5], { requiresGrad: true });
  const same = w.detach(); // its values live on
  const step = capture(() => {
    w.grad = null;
    relu(w).backward(ones([5]));
  });
  w.dispose();
  step();
  t.is(w.grad, null);
  step.dispose();
  same.dispose();
});

test.serial('results are the same tensors, outside of the graph, and outlive scopes', (t) => {
  const w = randn([3], { requiresGrad: true });
  const [step, first] = scope(() => {
    const made = capture(() => relu(w));
    return [made, made.result];
  });
  t.false(first.disposed);
  t.false(first.requiresGrad);
  w.set(Float32Array.of(1, -2, 3));
  const again = scope(() => step());
  t.is(again, first);
  t.deepEqual([...again.dataSync()], [1, 0, 3]);
  step.dispose();
  t.true(first.disposed);
  t.true(step.disposed);
});

test.serial('backward finds that a call has overwritten what it needs', (t) => {
  const w = randn([2, 3, 1, 1], { requiresGrad: true });
  const x = randn([1, 3, 4, 4], { requiresGrad: true });
  const optimizer = new optim.SGD([w], { lr: 0.1 });
  const step = capture(() => {
    const y = conv2d(x, w);
    optimizer.zeroGrad();
    x.grad = null;
    y.backward(ones(y.shape));
    optimizer.step();
  });
  const [before, y] = [relu(w), conv2d(x, w)];
  step();
  throwsCode(t, 'INVALID_ARGUMENT', () => y.backward(ones(y.shape)), /changed in place/);
  t.notThrows(() => before.backward(ones(before.shape)), 'relu needs its output alone');
  step.dispose();
});

test.serial('what can not be repeated is an error, and leaves no trace', async (t) => {
  const x = randn([2, 3]);
  const { bytes } = await settled();
  const refuse = (fn: () => unknown, message: RegExp) =>
    throwsCode(t, 'INVALID_ARGUMENT', () => capture(fn), message);
  refuse(() => tensor([1]).item(), /capture: a value is read/);
  refuse(() => relu(x).dataSync(), /capture: a value is read/);
  refuse(() => {
    relu(x).data();
  }, /data: values can not be read inside/);
  refuse(() => void (async () => relu(x).data())().catch(() => {}), /data: values can not be read inside/);
  refuse(() => capture(() => relu(x)), /inside of another capture/);
  refuse(async () => relu(x), /capture: the function must be synchronous/);
  // Its promise rejects with nobody there to look; that must not end the process.
  refuse(async () => await relu(x).data(), /capture: the function must be synchronous/);
  const held = memory().bytes;
  refuse(() => {
    const y = relu(x);
    y.data().catch(() => {});
    return y;
  }, /data: values can not be read inside/);
  refuse(() => {
    const y = relu(x);
    void (async () => y.data())().catch(() => {});
    return y;
  }, /data: values can not be read inside/);
  t.is(memory().bytes, held, 'results of a failed capture are freed at once');
  throwsCode(t, 'INVALID_ARGUMENT', () => capture(5 as never), /expected a function, found 5/);
  const inner = capture(() => relu(x));
  refuse(() => inner(), /called inside of a capture/);
  inner.dispose();
  t.throws(
    () =>
      capture(() => {
        relu(x);
        throw new Error('mine');
      }),
    { message: 'mine' },
  );
  t.is((await settled()).bytes, bytes);
  t.is(x.dataSync().length, 6, 'nothing is recorded any more');
  const empty = capture(() => 7);
  t.is(empty(), 7);
  empty.dispose();
});

test.serial('what the work needs must be there', (t) => {
  const make = () => {
    const model = smallResNeXt();
    const x = randn([2, 3, 8, 8]);
    const labels = tensor(labelsOf(0, 2)) as Tensor1D<'int32'>;
    const optimizer = new optim.AdamW(model.parameters());
    const step = capture(() => {
      const loss = crossEntropy(model.forward(x), labels);
      optimizer.zeroGrad();
      loss.backward();
      optimizer.step();
      return loss;
    });
    step();
    return { model, x, labels, optimizer, step };
  };
  const gone = (change: (parts: ReturnType<typeof make>) => void, message: RegExp) => {
    const parts = make();
    change(parts);
    throwsCode(t, 'DISPOSED', () => parts.step(), message);
    parts.step.dispose();
  };
  gone(({ x }) => x.dispose(), /a tensor that the recorded work uses/);
  gone(({ model }) => model.dispose(), /a tensor that the recorded work uses/);
  gone(({ optimizer }) => optimizer.dispose(), /a tensor that the recorded work uses/);
  gone(({ step }) => step().dispose(), /a result \[\] has been disposed/);
  gone(({ step }) => step.dispose(), /the captured function has been disposed/);
  const { x, step } = make();
  throwsCode(t, 'INVALID_SHAPE', () => x.set(new Float32Array(5)));
  throwsCode(t, 'INVALID_SHAPE', () => x.copyFrom(randn([1, 3, 8, 8]) as Tensor4D));
  t.true(Number.isFinite(step().item()), 'unharmed');
  step.dispose();
});

test.serial('gradients must be as they were', (t) => {
  const w = randn([4], { requiresGrad: true });
  const backward = () => relu(w).backward(ones([4]));
  const overwriting = capture(backward); // there was none
  throwsCode(t, 'INVALID_ARGUMENT', () => overwriting(), /had no gradient when it was captured/);
  w.grad = null;
  t.notThrows(overwriting);
  const [once] = [w.grad as Tensor | null];
  t.not(once, null, 'it is back');
  const adding = capture(backward);
  const sum = (w.grad as unknown as Tensor).dataSync();
  adding();
  t.deepEqual(
    [...(w.grad as unknown as Tensor).dataSync()],
    [...sum].map((value) => 1.5 * value),
    'one, two, three times',
  );
  w.grad = null;
  throwsCode(t, 'INVALID_ARGUMENT', () => adding(), /had another gradient when it was captured/);
  for (const step of [overwriting, adding]) step.dispose();
});

test.serial('a failure while running is told at the next wait, and the next call is well', async (t) => {
  const logits = randn([2, 10]);
  const labels = tensor(Int32Array.of(1, 2)) as Tensor1D<'int32'>;
  const step = capture(() => crossEntropy(logits, labels));
  const good = step().item();
  labels.set(Int32Array.of(1, 12));
  await rejectsCode(t, 'INVALID_ARGUMENT', step().data());
  labels.set(Int32Array.of(1, 2));
  t.is(step().item(), good);
  step.dispose();
});

test.serial('captured work runs in worker threads', async (t) => {
  if (skipsEmulated(t, 'workers that train')) return;
  const source = `import('tsx/esm/api').then(({ register }) => { register(); return import(${JSON.stringify(
    new URL('./helpers/capturingWorker.ts', import.meta.url).href,
  )}); })`;
  const start = (steps: number) => new Worker(source, { eval: true, workerData: { steps } });
  const losses = await Promise.all(
    [0, 1].map(async () => (await once(start(20), 'message')) as [[number, number]]),
  );
  for (const [[eager, captured]] of losses) t.is(captured, eager);
  t.is(losses[0]?.[0][0], losses[1]?.[0][0]);
  const endless = [start(1e9), start(1e9)];
  await new Promise((resolve) => setTimeout(resolve, 1500));
  await Promise.all(endless.map((worker) => worker.terminate()));
  t.pass('terminated in the middle');
});

const elsewhere = devices().find(({ available, device }) => available && device !== defaultDevice)?.device;
test.serial('a captured function stays on one device', (t) => {
  if (!elsewhere) {
    t.log('skipped: there is one device');
    t.pass();
    return;
  }
  const [here, there] = [randn([3]), randn([3], { device: elsewhere })];
  throwsCode(
    t,
    'INVALID_ARGUMENT',
    () => capture(() => [relu(here), relu(there)]),
    /the function's tensors are on/,
  );
  throwsCode(t, 'INVALID_ARGUMENT', () => capture(() => relu(here.to(elsewhere))), /tensors are on/);
  const step = capture(() => relu(there));
  there.set(Float32Array.of(-1, 0, 1));
  t.deepEqual([...step().dataSync()], [0, 0, 1]);
  step.dispose();
});
