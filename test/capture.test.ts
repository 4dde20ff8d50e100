/**
 * A captured function gives what calling it again would give, bit for bit; its memory stays flat and goes back.
 */
import { once } from 'node:events';
import { isDeepStrictEqual } from 'node:util';
import { Worker } from 'node:worker_threads';
import test from 'ava';
import {
  add,
  Bottleneck,
  type Captured,
  capture,
  concat,
  conv2d,
  crossEntropy,
  devices,
  dropout,
  EMA,
  getRandomState,
  manualSeed,
  memory,
  mobilenet_v1,
  noGrad,
  numThreads,
  ones,
  optim,
  ResNeXt,
  rand,
  randn,
  relu,
  scope,
  setNumThreads,
  setRandomState,
  Tensor,
  type Tensor1D,
  type Tensor2D,
  type Tensor4D,
  tensor,
  zeros,
} from '../lib/index.js';
import { defaultDevice, isEmulated, skipsEmulated } from './helpers/devices.js';
import { rejectsCode, throwsCode } from './helpers/errors.js';
import { settled } from './helpers/memory.js';

/** Something to run again and again: `feed` gives the inputs of call i, `run` is what is captured. */
interface Program {
  feed(call: number): void;
  run(): unknown;
  /** Everything that the calls may change, by name. */
  state(): Map<string, Tensor | Tensor<readonly number[], 'int32'> | number>;
  /** What is done between calls, and isn't captured. */
  between?(call: number): void;
}

const images = (call: number, shape: readonly number[]) =>
  Float32Array.from({ length: shape.reduce((product, extent) => product * extent, 1) }, (_, i) =>
    Math.sin(1 + i * 0.37 + call * 1.7),
  );
const labelsOf = (call: number, n: number) => Int32Array.from({ length: n }, (_, i) => (i * 3 + call) % 10);

const smallResNeXt = () =>
  new ResNeXt({
    blockRepeats: [
      [32, 1],
      [64, 1],
    ],
    cardinality: 8,
    numClasses: 10,
    stem: 'cifar',
    firstStride: 1,
  });

type Classifier = ResNeXt | ReturnType<typeof mobilenet_v1>;

function training(
  model: Classifier,
  optimizer: optim.Optimizer,
  more: { schedule?: optim.Schedule; clip?: number; ema?: boolean; dropout?: number; size?: number } = {},
): Program {
  const shape = [4, 3, more.size ?? 8, more.size ?? 8] as const;
  const x = zeros(shape);
  const labels = tensor(new Int32Array(4)) as Tensor1D<'int32'>;
  const scheduler = more.schedule && new optim.Scheduler(optimizer, more.schedule);
  const ema = more.ema ? new EMA(model, { decay: 0.9 }) : null;
  return {
    feed(call) {
      x.set(images(call, shape));
      labels.set(labelsOf(call, 4));
    },
    run() {
      const seen = more.dropout ? dropout(x, { p: more.dropout }) : x;
      const loss = crossEntropy(model.forward(seen) as Tensor2D, labels, { labelSmoothing: 0.1 });
      optimizer.zeroGrad();
      loss.backward();
      const norm = more.clip ? optim.clipGradNorm(model.parameters(), more.clip) : null;
      optimizer.step();
      ema?.update();
      scheduler?.step();
      return { loss, ...(norm && { norm }) };
    },
    state: () =>
      new Map<string, never>([
        ...model.stateDict(),
        ...[...optimizer.stateDict()].map(([key, value]) => [`optimizer ${key}`, value]),
        ...[...(ema?.stateDict() ?? [])].map(([key, value]) => [`ema ${key}`, value]),
        ...model.namedParameters().map(([key, { grad }]) => [`grad ${key}`, grad]),
        ['lr', optimizer.lr],
        ['random', getRandomState().offset],
      ] as [string, never][]),
  };
}

const programs: Record<string, () => Program> = {
  'SGD with Nesterov momentum, schedule, clipping and averaged weights': () => {
    const model = smallResNeXt();
    const optimizer = new optim.SGD(optim.decayGroups(model), {
      lr: 0.1,
      momentum: 0.9,
      nesterov: true,
      weightDecay: 1e-3,
    });
    return training(model, optimizer, { schedule: optim.cosine({ total: 10 }), clip: 0.5, ema: true });
  },
  'SGD with a dampened momentum, and dropout': () => {
    const model = smallResNeXt();
    const optimizer = new optim.SGD(model.parameters(), { lr: 0.05, momentum: 0.8, dampening: 0.5 });
    return training(model, optimizer, { dropout: 0.3 });
  },
  'plain SGD': () => {
    const model = smallResNeXt();
    return training(model, new optim.SGD(model.parameters(), { lr: 0.1 }));
  },
  'AdamW with warm-up and dropout': () => {
    const model = mobilenet_v1(0.25);
    const optimizer = new optim.AdamW(optim.decayGroups(model), { lr: 0.01, weightDecay: 0.1 });
    return training(model, optimizer, { schedule: optim.warmup({ steps: 3 }), dropout: 0.1, size: 32 });
  },
  'inference, and weights that change in between': () => {
    const model = smallResNeXt();
    const shape = [2, 3, 8, 8] as const;
    const x = zeros(shape);
    const step = (call: number) => {
      model.train();
      const optimizer = new optim.SGD(model.parameters(), { lr: 0.1 });
      scope(() => crossEntropy(model.forward(x), tensor(labelsOf(call, 2)) as Tensor1D<'int32'>).backward());
      optimizer.step();
      optimizer.zeroGrad();
      model.eval();
    };
    model.eval();
    return {
      feed: (call) => x.set(images(call, shape)),
      run: () => noGrad(() => [model.forward(x), new Map([['twice', model.forward(relu(x))]])]),
      between: (call) => call % 2 === 0 && step(call),
      state: () => model.stateDict() as never,
    };
  },
  'training mode without gradients': () => {
    const model = smallResNeXt();
    const x = zeros([2, 3, 8, 8]);
    return {
      feed: (call) => x.set(images(call, x.shape)),
      run: () => noGrad(() => model.forward(x)),
      state: () => model.stateDict() as never,
    };
  },
  'gradients of two batches, added': () => {
    const model = smallResNeXt();
    const optimizer = new optim.AdamW(model.parameters(), { lr: 0.01 });
    const whole = training(model, optimizer);
    const [x, labels] = [zeros([4, 3, 8, 8]), tensor(new Int32Array(4)) as Tensor1D<'int32'>];
    return {
      ...whole,
      feed(call) {
        x.set(images(call, x.shape));
        labels.set(labelsOf(call, 4));
      },
      run() {
        const losses = [x, relu(x)].map((input) => crossEntropy(model.forward(input), labels));
        optimizer.zeroGrad();
        for (const loss of losses) loss.backward();
        optimizer.step();
        return losses;
      },
    };
  },
  'two steps in one call': () => {
    const model = smallResNeXt();
    const once = training(model, new optim.SGD(model.parameters(), { lr: 0.1, momentum: 0.9 }));
    return { ...once, run: () => [once.run(), once.run()] };
  },
  'backward alone, and an update in between': () => {
    const model = smallResNeXt();
    const optimizer = new optim.SGD(model.parameters(), { lr: 0.1, momentum: 0.9 });
    const whole = training(model, optimizer);
    const [x, labels] = [zeros([4, 3, 8, 8]), tensor(new Int32Array(4)) as Tensor1D<'int32'>];
    return {
      ...whole,
      feed(call) {
        x.set(images(call, x.shape));
        labels.set(labelsOf(call, 4));
      },
      run() {
        const loss = crossEntropy(model.forward(x), labels);
        loss.backward();
        return loss;
      },
      between() {
        optimizer.step();
        optimizer.zeroGrad();
      },
    };
  },
  'inputs in blocks of channels, set and copied': () => {
    const block = new Bottleneck(32, 16, { cardinality: 4, projection: false });
    const optimizer = new optim.SGD(block.parameters(), { lr: 0.01 });
    const [x, other] = [randn([2, 32, 5, 5]), randn([2, 32, 5, 5])];
    scope(() => relu(x)); // x lies in blocks from here on
    return {
      feed(call) {
        if (call % 2 === 0) x.set(images(call, x.shape));
        else {
          other.set(images(call, x.shape));
          if (call === 3) scope(() => relu(other));
          x.copyFrom(other);
        }
      },
      run() {
        const y = block.forward(concat([x], 0) as Tensor4D);
        optimizer.zeroGrad();
        y.backward(ones(y.shape) as Tensor4D);
        optimizer.step();
        return y;
      },
      state: () => new Map([...block.stateDict(), ['x', x]]) as never,
    };
  },
  'a position in the random sequence, a learning rate and a time that are set': () => {
    const param = ones([3], { requiresGrad: true });
    const optimizer = new optim.SGD([param], { lr: 0.1 });
    const scheduler = new optim.Scheduler(optimizer, (time) => 1 / (1 + time));
    return {
      feed: () => {},
      between(call) {
        rand([call + 1]);
        scheduler.time = call;
        optimizer.lr = 0.25;
      },
      run() {
        scheduler.time = 3;
        const before = rand([5]);
        setRandomState({ seed: 7, offset: 100 });
        optimizer.lr *= 1;
        param.grad = rand([3]);
        optimizer.step();
        return [before, rand([5])];
      },
      state: () =>
        new Map<string, never>([
          ['param', param],
          ['lr', optimizer.lr],
          ['time', scheduler.time],
          ['random', getRandomState().offset],
        ] as [string, never][]),
    };
  },
  'random numbers': () => ({
    feed: (call) => call === 3 && manualSeed(5),
    run: () => [rand([100]), randn([3, 5]), dropout(ones([2, 20, 3, 3]), { p: 0.5 })],
    state: () => new Map([['random', getRandomState().offset]]),
  }),
};

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
