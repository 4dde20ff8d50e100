import test from 'ava';
import {
  accuracy,
  ConfusionMatrix,
  crossEntropy,
  DataLoader,
  EMA,
  evaluate,
  fit,
  Linear,
  memory,
  normalize,
  optim,
  type StepReport,
  type Tensor,
  tensor,
  topK,
} from '../../lib/index.js';
import { rejectsCode, throwsCode } from '../helpers/errors.js';
import { values } from '../helpers/gradients.js';
import { settled } from '../helpers/memory.js';
import { digest } from '../helpers/state.js';
import { toyDataset, toyTraining } from '../helpers/toyTraining.js';

test.serial.beforeEach(settled); // what earlier tests forgot is not to vanish while memory is compared

test.serial('top-k and accuracy', (t) => {
  // Row 1: class 2 is third; row 2: equal logits, the first counts; row 3: NaN never hits.
  const logits = Float32Array.of(5, 4, 3, 1, 7, 7, 0, 0, Number.NaN, 1, 2, 3);
  const labels = Int32Array.of(2, 1, 0);
  t.deepEqual(
    [1, 2, 3, 4].map((k) => topK(k)(logits, labels, 4)),
    [0, 1, 2, 2],
  );
  t.is(accuracy(logits, Int32Array.of(0, 0, 3), 4), 3);
  throwsCode(t, 'INVALID_ARGUMENT', () => topK(0));
});

test.serial('a confusion matrix', (t) => {
  const matrix = new ConfusionMatrix(3);
  matrix.add(Float32Array.of(1, 2, 0, 3, 0, 0, 0, 0, 9, 1, 5, 2), Int32Array.of(1, 1, 2, 1));
  t.deepEqual([...matrix.counts], [0, 0, 0, 1, 2, 0, 0, 0, 1]);
  t.deepEqual([matrix.at(1, 0), matrix.recall(1), matrix.recall(2)], [1, 2 / 3, 1]);
});

test.serial('fit trains, reports, and leaves memory as it was', async (t) => {
  const before = (await settled()).bytes;
  const { model, options } = toyTraining();
  const steps: StepReport[] = [];
  const epochs: number[] = [];
  const { train, validation, optimizer } = options;
  const history = await fit(model, {
    train,
    validation,
    optimizer,
    epochs: 10,
    metrics: { accuracy, top2: topK(2) },
    loss: (logits, labels) => crossEntropy(logits, labels, { labelSmoothing: 0.1 }),
    onStep: (report) => steps.push(report),
    onEpoch: async ({ epoch }) => {
      await new Promise((resolve) => setTimeout(resolve, 1));
      epochs.push(epoch);
    },
  });
  t.deepEqual(epochs, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  t.false(history.aborted);
  const last = history.epochs.at(-1)!;
  t.true(last.validation!.accuracy! > 0.8, `accuracy ${last.validation!.accuracy}`);
  t.true(last.validation!.top2! >= last.validation!.accuracy!);
  t.true(last.train.loss < history.epochs[0]!.train.loss / 1.5);
  t.true(last.imagesPerSecond > 0 && last.busy > 0 && last.busy <= 1.01);
  t.is(steps.length, 60);
  t.deepEqual([steps[7]!.epoch, steps[7]!.step, steps[7]!.steps], [2, 2, 6]);
  t.is(steps[5]!.scores.loss, history.epochs[0]!.train.loss);
  const scores = await evaluate(model, validation, { metrics: { accuracy } });
  t.is(scores.accuracy, last.validation!.accuracy);
  t.true(model.training, 'the mode is as before');
  options.ema.dispose();
  optimizer.dispose();
  model.dispose();
  t.is((await settled()).bytes, before);
});

test.serial('a loop of the user does the same', async (t) => {
  const { model, options } = toyTraining();
  const history = await fit(model, { ...options, epochs: 1 });
  const own = toyTraining();
  const { train, optimizer, ema, schedule } = own.options;
  const scheduler = new optim.Scheduler(optimizer, schedule);
  let sum = 0;
  for await (const { images, labels } of train) {
    const loss = crossEntropy(own.model.forward(images), labels);
    optimizer.zeroGrad();
    loss.backward();
    optim.clipGradNorm(own.model.parameters(), 2).dispose();
    optimizer.step();
    ema.update();
    scheduler.step();
    sum += loss.item() * images.shape[0];
    loss.dispose();
  }
  t.is(sum / 96, history.epochs[0]!.train.loss);
  t.deepEqual(digest(own.model), digest(model));
});

test.serial('an AbortSignal stops after the step that runs', async (t) => {
  const { model, options } = toyTraining();
  const controller = new AbortController();
  let steps = 0;
  const onStep = () => {
    if (++steps === 8) controller.abort();
  };
  const history = await fit(model, { ...options, onStep, signal: controller.signal });
  t.true(history.aborted);
  t.deepEqual(
    history.epochs.map(({ epoch }) => epoch),
    [1],
  );
  t.true(steps >= 8 && steps <= 9, `${steps} steps`);
  t.true(model.parameters().every((parameter) => parameter.dataSync().every(Number.isFinite)));
  t.deepEqual(await fit(model, { ...options, signal: AbortSignal.abort() }), { epochs: [], aborted: true });
});

test.serial('failures reach the caller', async (t) => {
  const { model, options } = toyTraining();
  const two = new DataLoader(toyDataset(8, 1), { batchSize: 4, transform: normalize([0, 0], [1, 1]) });
  await rejectsCode(t, 'INVALID_SHAPE', fit(model, { ...options, train: two }), /the image has 1 channels/);
  const onStep = () => {
    throw new Error('mine');
  };
  await t.throwsAsync(fit(model, { ...options, onStep }), { message: 'mine' });
  await rejectsCode(t, 'INVALID_ARGUMENT', fit(model, { ...options, epochs: 0 }), /epochs is a whole number/);
  await rejectsCode(t, 'INVALID_ARGUMENT', fit(model, { ...options, lr: 1 } as never), /unknown option lr/);
  await rejectsCode(
    t,
    'INVALID_ARGUMENT',
    fit(model, { ...options, metrics: { loss: accuracy } }),
    /metric loss/,
  );
  await rejectsCode(t, 'INVALID_ARGUMENT', fit(model, { ...options, clipGradNorm: 0 }), /maxNorm/);
  // A label beyond the classes is noticed by the device, while it runs.
  const loss = (logits: Tensor) =>
    crossEntropy(logits as never, tensor(Int32Array.from({ length: 16 }, () => 9)));
  await rejectsCode(
    t,
    'INVALID_ARGUMENT',
    fit(model, { ...options, loss }),
    /label 9 of sample 0, 4 classes/,
  );
});

test.serial('clipGradNorm is that of PyTorch', (t) => {
  const shapes = [[3], [16, 7, 3, 3], [70, 300]] as const;
  const params = shapes.map((shape) => tensor(values(9, shape), shape, { requiresGrad: true }) as Tensor);
  const raw = shapes.map((shape, i) => values(i, shape));
  const set = () => {
    for (const [i, param] of params.entries()) param.grad = tensor(raw[i]!, shapes[i]!) as Tensor;
  };
  const norm = Math.sqrt(raw.flatMap((one) => [...one]).reduce((sum, value) => sum + value * value, 0));
  for (const maxNorm of [0.5, 1e6, Infinity]) {
    set();
    const before = optim.clipGradNorm(params, maxNorm).item();
    t.true(Math.abs(before / norm - 1) < 1e-6);
    const factor = Math.min(1, maxNorm / (norm + 1e-6));
    for (const [i, param] of params.entries())
      t.true(param.grad!.dataSync().every((value, j) => Math.abs(value - raw[i]![j]! * factor) < 1e-6));
  }
  params[0]!.grad = null; // is left out
  t.true(optim.clipGradNorm(params, 1).item() > 0);
  for (const param of params) param.grad = null;
  throwsCode(t, 'INVALID_ARGUMENT', () => optim.clipGradNorm(params, 1), /no parameter has a gradient/);
  throwsCode(t, 'INVALID_ARGUMENT', () => optim.clipGradNorm(params, -1), /maxNorm is a number above 0/);
  throwsCode(t, 'INVALID_ARGUMENT', () => optim.clipGradNorm([3 as never], 1), /not a tensor/);
});

test.serial('decayGroups: biases and norms do not decay', (t) => {
  const { model } = toyTraining();
  const [weights, rest] = optim.decayGroups(model) as [optim.ParameterGroup, optim.ParameterGroup];
  const [first, second] = [[...weights.params], [...rest.params]];
  t.true(first.every(({ rank }) => rank === 4 || rank === 2));
  t.true(second.every(({ rank }) => rank === 1));
  t.is(first.length + second.length, model.parameters().length);
  t.deepEqual([weights.weightDecay, rest.weightDecay], [undefined, 0]);
  t.is(optim.decayGroups(new Linear(2, 3, { bias: false })).length, 1);
});

test.serial('EMA computes the formula, lends its weights, and frees what it holds', async (t) => {
  const before = (await settled()).bytes;
  const model = new Linear(2, 1, { bias: false });
  model.weight.set(Float32Array.of(1, 2));
  const ema = new EMA(model, { decay: 0.75 });
  model.weight.set(Float32Array.of(5, 10));
  ema.update();
  model.weight.set(Float32Array.of(2, 0));
  ema.update();
  const expected = [2, 3]; // 0.75 (0.75 · 1 + 0.25 · 5) + 0.25 · 2 and 0.75 (0.75 · 2 + 0.25 · 10) + 0.25 · 0
  t.deepEqual([...ema.stateDict().get('weight')!.dataSync()], expected);
  await ema.use(async () => {
    t.deepEqual([...model.weight.dataSync()], expected);
    t.throws(() => ema.update(), { message: /inside of use/ });
    await t.throwsAsync(
      ema.use(() => 1),
      { message: /use inside of use/ },
    );
  });
  t.deepEqual([...model.weight.dataSync()], [2, 0]);
  await t.throwsAsync(
    ema.use(() => {
      throw new Error('mine');
    }),
    { message: 'mine' },
  );
  t.deepEqual([...model.weight.dataSync()], [2, 0]);
  const again = new EMA(model);
  again.loadStateDict(ema.stateDict());
  t.deepEqual([...again.stateDict().get('weight')!.dataSync()], expected);
  for (const one of [ema, again, model]) one.dispose();
  t.is(memory().bytes, before);
  throwsCode(t, 'INVALID_ARGUMENT', () => new EMA(model, { decay: 1 }), /decay/);
  throwsCode(
    t,
    'INVALID_ARGUMENT',
    () => new EMA(model, { momentum: 1 } as object),
    /unknown option momentum/,
  );
});

test.serial("EMA's buffers: averaged, or the model's own", async (t) => {
  for (const buffers of [true, false]) {
    const { model, options } = toyTraining();
    const ema = new EMA(model, { decay: 0.5, buffers });
    await fit(model, { ...options, ema, epochs: 1 });
    const key = 'body.conv1.1.running_mean';
    const own = model.stateDict().get(key)!;
    t.is(ema.stateDict().get(key) === own, !buffers);
    t.is(ema.stateDict().size, model.stateDict().size);
    // Its state is a state of the model's.
    t.notThrows(() => toyTraining().model.loadStateDict(ema.stateDict()));
  }
});
