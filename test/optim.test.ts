import test from 'ava';
import { crossEntropy, memory, optim, relu, scope, type Tensor, tensor } from '../lib/index.js';
import { throwsCode } from './helpers/errors.js';
import { values } from './helpers/gradients.js';
import { settled } from './helpers/memory.js';

test.serial.beforeEach(settled); // what earlier tests forgot is not to vanish while memory is compared

const shapes = [[5], [4, 18, 3, 3], [1], [300, 70]] as const;

function parameters(): Tensor[] {
  return shapes.map((shape, i) => tensor(values(i, shape), shape, { requiresGrad: true }) as Tensor);
}
/** Gradients that differ from step to step. */
function setGradients(params: readonly Tensor[], step: number): void {
  for (const [i, param] of params.entries())
    param.grad = tensor(values(100 * step + i, param.shape), param.shape) as Tensor;
}
/** The largest difference from values computed in float64. */
function worst(params: readonly Tensor[], expected: readonly Float64Array[]): number {
  return Math.max(
    ...params.map((param, i) =>
      param.dataSync().reduce((most, v, j) => Math.max(most, Math.abs(v - expected[i]![j]!)), 0),
    ),
  );
}

for (const settings of [
  { lr: 0.1 },
  { lr: 0.1, weightDecay: 0.01 },
  { lr: 0.1, momentum: 0.9, weightDecay: 0.01 },
  { lr: 0.1, momentum: 0.9, dampening: 0.3 },
  { lr: 0.1, momentum: 0.9, weightDecay: 0.01, nesterov: true },
])
  test(`SGD computes PyTorch's formula: ${JSON.stringify(settings)}`, (t) => {
    const {
      lr,
      momentum = 0,
      dampening = 0,
      weightDecay = 0,
      nesterov = false,
    } = settings as optim.SGDOptions;
    const params = parameters();
    const optimizer = new optim.SGD(params, settings);
    const expected = params.map((param) => Float64Array.from(param.dataSync()));
    const momenta = expected.map((p) => new Float64Array(p.length));
    for (let step = 1; step <= 4; step++) {
      setGradients(params, step);
      for (const [i, p] of expected.entries())
        for (const [j, gradient] of params[i]!.grad!.dataSync().entries()) {
          const g = gradient + weightDecay * p[j]!;
          const m = step === 1 ? g : momentum * momenta[i]![j]! + (1 - dampening) * g;
          momenta[i]![j] = m;
          p[j]! -= lr * (momentum === 0 ? g : nesterov ? g + momentum * m : m);
        }
      optimizer.step();
    }
    t.true(worst(params, expected) < 1e-6);
  });

test("AdamW computes PyTorch's formula, also where gradients come late", (t) => {
  const params = parameters();
  const [b1, b2, lr, weightDecay, eps] = [0.8, 0.99, 0.01, 0.1, 1e-6];
  const optimizer = new optim.AdamW(params, { lr, betas: [b1, b2], weightDecay, eps });
  const expected = params.map((param) => Float64Array.from(param.dataSync()));
  const [first, second] = [0, 1].map(() => expected.map((p) => new Float64Array(p.length))) as [
    Float64Array[],
    Float64Array[],
  ];
  const steps = [0, 0, 0, 0];
  for (let step = 1; step <= 4; step++) {
    setGradients(params, step);
    if (step < 3) params[1]!.grad = null;
    for (const [i, p] of expected.entries()) {
      const gradient = params[i]!.grad;
      if (!gradient) continue;
      const count = ++steps[i]!;
      for (const [j, g] of gradient.dataSync().entries()) {
        const m = b1 * first[i]![j]! + (1 - b1) * g;
        const v = b2 * second[i]![j]! + (1 - b2) * g * g;
        first[i]![j] = m;
        second[i]![j] = v;
        p[j]! *= 1 - lr * weightDecay;
        p[j]! -= ((lr / (1 - b1 ** count)) * m) / (Math.sqrt(v / (1 - b2 ** count)) + eps);
      }
    }
    optimizer.step();
  }
  t.true(worst(params, expected) < 1e-6);
});

test('groups have their own lr and weightDecay; setting lr scales them all', (t) => {
  const [a, b] = [1, 2].map((v) => tensor([v], [1], { requiresGrad: true }) as Tensor) as [Tensor, Tensor];
  const optimizer = new optim.SGD([{ params: [a] }, { params: [b], lr: 0.01, weightDecay: 0.5 }], {
    lr: 0.1,
  });
  const step = () => {
    a.grad = tensor([1], [1]) as Tensor;
    b.grad = tensor([1], [1]) as Tensor;
    optimizer.step();
  };
  step();
  t.true(Math.abs(a.item() - 0.9) < 1e-6);
  t.true(Math.abs(b.item() - (2 - 0.01 * (1 + 0.5 * 2))) < 1e-6);
  optimizer.lr = 0.2;
  const before = b.item();
  step();
  t.true(Math.abs(a.item() - 0.7) < 1e-6);
  t.true(Math.abs(b.item() - (before - 0.02 * (1 + 0.5 * before))) < 1e-6);
});

test('zeroGrad drops gradients; parameters without one stay', (t) => {
  const params = parameters();
  const before = params.map((param) => param.dataSync());
  const optimizer = new optim.AdamW(params);
  setGradients(params, 1);
  optimizer.zeroGrad();
  t.true(params.every((param) => param.grad === null));
  optimizer.step();
  t.deepEqual(
    params.map((param) => param.dataSync()),
    before,
  );
});

const kinds: [string, (params: Tensor[]) => optim.Optimizer][] = [
  ['SGD', (params) => new optim.SGD(params, { lr: 0.1, momentum: 0.9 })],
  ['AdamW', (params) => new optim.AdamW(params, { lr: 0.01 })],
];

for (const [name, make] of kinds) {
  test(`${name} goes on from a checkpoint`, (t) => {
    const params = parameters();
    const optimizer = make(params);
    const step = (of: readonly Tensor[], with_: optim.Optimizer, number: number) => {
      setGradients(of, number);
      with_.step();
    };
    step(params, optimizer, 1);
    const copies = params.map((param) => {
      const copy = param.clone();
      copy.requiresGrad = true;
      return copy;
    });
    const state = optimizer.stateDict();
    t.is(state.size, name === 'SGD' ? 4 : 12);
    const resumed = make(copies);
    resumed.loadStateDict(state);
    for (const one of state.values()) one.dispose(); // they were the caller's
    for (const number of [2, 3]) {
      step(params, optimizer, number);
      step(copies, resumed, number);
    }
    t.deepEqual(
      copies.map((param) => param.dataSync()),
      params.map((param) => param.dataSync()),
    );
    resumed.loadStateDict(new Map()); // no state at all: as new
    t.is(resumed.stateDict().size, 0);
  });

  test.serial(`${name}'s state outlives the scope of its first step, and dispose frees it`, (t) => {
    const before = memory().bytes;
    const params = parameters();
    const optimizer = make(params);
    scope(() => {
      setGradients(params, 1);
      optimizer.step();
      optimizer.zeroGrad();
    });
    t.notThrows(() => {
      setGradients(params, 2);
      optimizer.step();
    });
    t.true(Number.isFinite(params[0]!.dataSync()[0]));
    optimizer.dispose();
    for (const param of params) param.dispose();
    t.is(memory().bytes, before);
  });

  test(`${name}: wrong states`, (t) => {
    const params = parameters();
    const optimizer = make(params);
    setGradients(params, 1);
    optimizer.step();
    const key = name === 'SGD' ? 'momentum_buffer' : 'exp_avg';
    throwsCode(
      t,
      'INVALID_ARGUMENT',
      () => optimizer.loadStateDict({ '9.momentum_buffer': params[0]! }),
      /unexpected 9/,
    );
    const state = optimizer.stateDict();
    state.set(`0.${key}`, tensor([1, 2]) as Tensor);
    throwsCode(t, 'INVALID_SHAPE', () => optimizer.loadStateDict(state), /is \[2\], \[5\] is needed/);
    if (name === 'AdamW') {
      state.delete(`0.${key}`);
      throwsCode(t, 'INVALID_ARGUMENT', () => optimizer.loadStateDict(state), /parameter 0 is incomplete/);
    }
    t.notThrows(() => optimizer.loadStateDict(optimizer.stateDict()));
  });
}

test('a step between forward and backward is noticed', (t) => {
  const logits = tensor([1, 2], [1, 2], { requiresGrad: true });
  const optimizer = new optim.SGD([logits], { lr: 0.1 });
  const loss = crossEntropy(logits, tensor(Int32Array.of(1)));
  logits.grad = tensor([1, 1], [1, 2]);
  optimizer.step();
  throwsCode(t, 'INVALID_ARGUMENT', () => loss.backward(), /changed in place/);
});

test('wrong calls', (t) => {
  const param = tensor([1], [1], { requiresGrad: true }) as Tensor;
  const sgd = (options: object, params: unknown = [param]) =>
    new optim.SGD(params as Tensor[], options as optim.SGDOptions);
  throwsCode(t, 'INVALID_ARGUMENT', () => sgd({}), /lr is a number/);
  throwsCode(t, 'INVALID_ARGUMENT', () => sgd({ lr: -1 }), /lr is a number/);
  throwsCode(t, 'INVALID_ARGUMENT', () => sgd({ lr: 1, nesterov: true }), /nesterov needs a momentum/);
  throwsCode(t, 'INVALID_ARGUMENT', () => sgd({ lr: 1, decay: 1 }), /unknown option decay/);
  throwsCode(t, 'INVALID_ARGUMENT', () => sgd({ lr: 1 }, [param, param]), /given twice/);
  throwsCode(t, 'INVALID_ARGUMENT', () => sgd({ lr: 1 }, []), /no parameters/);
  throwsCode(
    t,
    'INVALID_ARGUMENT',
    () => sgd({ lr: 1 }, [{ params: [param], momentum: 1 }]),
    /unknown option momentum/,
  );
  throwsCode(t, 'INVALID_ARGUMENT', () => sgd({ lr: 1 }, [param, { params: [] }]), /mixed/);
  throwsCode(t, 'INVALID_ARGUMENT', () => sgd({ lr: 1 }, [relu(param)]), /result of an operator/);
  throwsCode(t, 'INVALID_ARGUMENT', () => sgd({ lr: 1 }, [3]), /not a tensor/);
  throwsCode(t, 'INVALID_ARGUMENT', () => new optim.AdamW([param], { betas: [1, 0.9] }), /betas\[0\]/);
  const optimizer = sgd({ lr: 1 });
  throwsCode(t, 'INVALID_ARGUMENT', () => {
    optimizer.lr = Number.NaN;
  });
  param.dispose();
  throwsCode(t, 'DISPOSED', () => optimizer.step(), /has been disposed/);
});

test('a step that fails changes nothing: neither parameters nor state', (t) => {
  for (const make of [
    (groups: optim.Trainable) => new optim.AdamW(groups),
    (groups: optim.Trainable) => new optim.SGD(groups, { lr: 1, momentum: 0.9, dampening: 0.5 }),
  ]) {
    const [one, two] = [0, 1].map(() => tensor([1, 2], [2], { requiresGrad: true }) as Tensor) as [
      Tensor,
      Tensor,
    ];
    const optimizer = make([{ params: [one] }, { params: [two] }]);
    const gradients: [Tensor<readonly number[], never>, Parameters<typeof throwsCode>[1], RegExp][] = [
      [tensor([1], [1]) as never, 'INVALID_SHAPE', /gradient \[1\] of parameter \[2\]/],
      [tensor([[1, 2]]) as never, 'INVALID_SHAPE', /gradient \[1,2\]/],
      [tensor([1, 2], [2], { dtype: 'bfloat16' }) as never, 'UNSUPPORTED', /is bfloat16/],
    ];
    one.grad = tensor([1, 1], [2]) as Tensor;
    for (const [gradient, code, message] of gradients) {
      two.grad = gradient;
      throwsCode(t, code, () => optimizer.step(), message);
    }
    two.grad?.dispose();
    throwsCode(t, 'DISPOSED', () => optimizer.step(), /gradient of a parameter/);
    two.dispose();
    throwsCode(t, 'DISPOSED', () => optimizer.step(), /a parameter has been disposed/);
    t.deepEqual([...one.dataSync()], [1, 2]);
    t.is(optimizer.stateDict().size, 0);
  }
});

test('schedules', (t) => {
  const { stepLR, cosine, warmup, Scheduler } = optim;
  t.deepEqual([0, 1, 2, 3, 4].map(stepLR({ stepSize: 2, gamma: 0.5 })), [1, 1, 0.5, 0.5, 0.25]);
  const half = cosine({ total: 10, end: 0.1 });
  t.deepEqual([half(0), half(10), half(99)], [1, 0.1, 0.1]);
  t.true(Math.abs(half(5) - 0.55) < 1e-12);
  const both = warmup({ steps: 4, after: stepLR({ stepSize: 1, gamma: 0.5 }) });
  t.deepEqual([0, 1, 3, 4, 5].map(both), [0.25, 0.5, 1, 1, 0.5]);

  const optimizer = new optim.SGD([tensor([1], [1], { requiresGrad: true })], { lr: 0.8 });
  const scheduler = new Scheduler(optimizer, both);
  const seen = [optimizer.lr];
  for (let i = 0; i < 5; i++) {
    scheduler.step();
    seen.push(optimizer.lr);
  }
  t.deepEqual(seen, [0.2, 0.4, 0.8 * 0.75, 0.8, 0.8, 0.4]);
  scheduler.time = 1;
  t.is(optimizer.lr, 0.4);
  throwsCode(t, 'INVALID_ARGUMENT', () => {
    scheduler.time = -1;
  });
  throwsCode(t, 'INVALID_ARGUMENT', () => stepLR({ stepSize: 0 }));
  throwsCode(t, 'INVALID_ARGUMENT', () => cosine({ total: 1, min: 0 } as never), /unknown option/);
});
