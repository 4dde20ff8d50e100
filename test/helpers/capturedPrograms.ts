/** What test/capture.test.ts runs eagerly and captured: programs that are to give the same, bit for bit, every time. */
import {
  Bottleneck,
  concat,
  crossEntropy,
  dropout,
  EMA,
  getRandomState,
  type Module,
  manualSeed,
  mobilenet_v1,
  mobilenet_v2,
  mobilenet_v3_small,
  noGrad,
  ones,
  optim,
  ResNeXt,
  rand,
  randn,
  relu,
  scope,
  setRandomState,
  type Tensor,
  type Tensor1D,
  type Tensor2D,
  type Tensor4D,
  tensor,
  zeros,
} from '../../lib/index.js';

/** Something to run again and again: `feed` gives the inputs of call i, `run` is what is captured. */
export interface Program {
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
export const labelsOf = (call: number, n: number) =>
  Int32Array.from({ length: n }, (_, i) => (i * 3 + call) % 10);

export const smallResNeXt = () =>
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

/** Four images and their labels, others at every call. */
function batch(size = 8) {
  const x = zeros([4, 3, size, size]);
  const labels = tensor(new Int32Array(4)) as Tensor1D<'int32'>;
  const feed = (call: number) => {
    x.set(images(call, x.shape));
    labels.set(labelsOf(call, 4));
  };
  return { x, labels, feed };
}

type Classifier = Module<Tensor4D, Tensor2D>;

function training(
  model: Classifier,
  optimizer: optim.Optimizer,
  more: { schedule?: optim.Schedule; clip?: number; ema?: boolean; dropout?: number; size?: number } = {},
): Program {
  const { x, labels, feed } = batch(more.size);
  const scheduler = more.schedule && new optim.Scheduler(optimizer, more.schedule);
  const ema = more.ema ? new EMA(model, { decay: 0.9 }) : null;
  return {
    feed,
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

export const programs: Record<string, () => Program> = {
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
  'squeeze-and-excitation, smooth activations and dropout': () => {
    const model = mobilenet_v3_small(0.25, { numClasses: 10 });
    return training(model, new optim.SGD(model.parameters(), { lr: 0.05 }), { size: 32, ema: true });
  },
  'inference of inverted residuals': () => {
    const model = mobilenet_v2(0.25, { numClasses: 10 }).eval();
    const x = zeros([2, 3, 32, 32]);
    return {
      feed: (call) => x.set(images(call, x.shape)),
      run: () => noGrad(() => model.forward(x)),
      state: () => model.stateDict() as never,
    };
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
    const { x, labels, feed } = batch();
    return {
      ...whole,
      feed,
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
    const { x, labels, feed } = batch();
    return {
      ...whole,
      feed,
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
