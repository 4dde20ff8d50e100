import test from 'ava';
import {
  add,
  type BatchNormOptions,
  batchNorm,
  memory,
  noGrad,
  ones,
  relu,
  relu6,
  type Tensor,
  type Tensor1D,
  type Tensor4D,
  tensor,
  zeros,
} from '../../lib/index.js';
import { batchNormActivated } from '../../lib/ops/batchNorm.js';
import { relativeError } from '../golden/golden.js';
import { throwsCode } from '../helpers/errors.js';
import { checkGoldenOp } from '../helpers/goldenOps.js';
import { directionalError, values } from '../helpers/gradients.js';
import { settled } from '../helpers/memory.js';

test.serial.beforeEach(settled); // what earlier tests forgot is not to vanish while memory is compared

test('batchNorm follows PyTorch', (t) => {
  checkGoldenOp(
    t,
    'batchNorm',
    ({ x, ...parameters }, options: BatchNormOptions) =>
      batchNorm(x as Tensor4D, { ...options, ...parameters } as BatchNormOptions) as unknown as Tensor,
    ['runningMean', 'runningVar'],
  );
});

test('gradients agree with differences', (t) => {
  const running = {
    runningMean: tensor(values(7, [5])),
    runningVar: tensor(values(8, [5], 0.5).map((v) => 1 + v)),
  };
  for (const training of [true, false])
    for (const shape of [
      [3, 5, 4, 3],
      [9, 5],
    ] as const) {
      const error = directionalError(
        (x, weight, bias) =>
          batchNorm(x as Tensor4D, { weight, bias, training, ...(training ? {} : running) }),
        [shape, [5], [5]],
      );
      t.true(error < 2e-4, `${shape} training ${training}: ${error}`);
    }
});

interface Results {
  y: Float32Array;
  gradients: Float32Array[];
}

/** Forward and every gradient of x, weight, bias, residual. */
function run(f: (x: Tensor4D, weight: Tensor1D, bias: Tensor1D, residual: Tensor4D) => Tensor4D): Results {
  const shape = [3, 21, 5, 4] as const;
  const x = tensor(values(1, shape), shape, { requiresGrad: true });
  const weight = tensor(values(2, [21]), [21], { requiresGrad: true });
  const bias = tensor(values(3, [21]), [21], { requiresGrad: true });
  const residual = tensor(values(4, shape, 3), shape, { requiresGrad: true });
  const y = f(x, weight, bias, residual);
  y.backward(tensor(values(5, shape), shape));
  return { y: y.dataSync(), gradients: [x, weight, bias, residual].map((input) => input.grad!.dataSync()) };
}

test('the fused residual and activation equal the composition', (t) => {
  const statistics = { runningMean: tensor(values(6, [21])), runningVar: ones([21]) };
  for (const training of [true, false])
    for (const [activation, apply] of [
      ['none', (x: Tensor4D) => x],
      ['relu', relu<Tensor4D['shape']>],
      ['relu6', relu6<Tensor4D['shape']>],
    ] as const) {
      const options = training ? { training } : statistics;
      const fused = run((x, weight, bias, r) =>
        batchNormActivated(x, { weight, bias, ...options }, r, activation),
      );
      const composed = run((x, weight, bias, r) => apply(add(batchNorm(x, { weight, bias, ...options }), r)));
      t.true(relativeError(fused.y, composed.y) < 1e-6);
      fused.gradients.forEach((gradient, i) => {
        t.true(relativeError(gradient, composed.gradients[i]!) < 1e-5, `${activation} gradient ${i}`);
      });
    }
});

test('x may be its own residual', (t) => {
  const gradient = (f: (x: Tensor4D) => Tensor4D) => {
    const x = tensor(values(1, [2, 6, 4, 5]), [2, 6, 4, 5], { requiresGrad: true });
    f(x).backward(tensor(values(2, [2, 6, 4, 5]), [2, 6, 4, 5]));
    return x.grad!.dataSync();
  };
  const fused = gradient((x) => batchNormActivated(x, { training: true }, x, 'relu'));
  const composed = gradient((x) => relu(add(batchNorm(x, { training: true }), x)));
  t.true(relativeError(fused, composed) < 1e-5);
});

test('training normalises and keeps running statistics', (t) => {
  const x = tensor(
    values(1, [8, 6, 5, 5]).map((value) => 1000 + 3 * value),
    [8, 6, 5, 5],
  );
  const [runningMean, runningVar] = [zeros([6]), ones([6])];
  const y = batchNorm(x, { training: true, runningMean, runningVar, momentum: 1 }).dataSync();
  for (let c = 0; c < 6; c++) {
    const own = y.filter((_, i) => Math.floor(i / 25) % 6 === c);
    const mean = own.reduce((sum, value) => sum + value / own.length, 0);
    const variance = own.reduce((sum, value) => sum + (value - mean) ** 2 / own.length, 0);
    t.true(Math.abs(mean) < 1e-5 && Math.abs(variance - 1) < 1e-4, `${mean} ${variance}`);
  }
  for (const mean of runningMean.dataSync()) t.true(Math.abs(mean - 1000) < 1);
  for (const variance of runningVar.dataSync()) t.true(Math.abs(variance - 3) < 0.5); // of a uniform [-3, 3)
  const evaluated = batchNorm(x, { runningMean, runningVar });
  t.true(relativeError(evaluated.dataSync(), y) < 0.01); // unbiased against biased variance, 200 values
});

test('backward belongs to its forward, whatever becomes of the parameters and running statistics', (t) => {
  const gradient = (meanwhile: (state: { running: Tensor1D[]; affine: Tensor1D[] }) => void) => {
    const x = tensor(values(1, [2, 3, 4, 4]), [2, 3, 4, 4], { requiresGrad: true });
    const [weight, bias, runningMean, runningVar] = [ones([3]), zeros([3]), zeros([3]), ones([3])];
    const y = batchNorm(x, { weight, bias, runningMean, runningVar });
    meanwhile({ running: [runningMean, runningVar], affine: [weight, bias] });
    y.backward(tensor(values(2, [2, 3, 4, 4]), [2, 3, 4, 4]));
    return x.grad?.dataSync();
  };
  const expected = gradient(() => {});
  t.deepEqual(
    gradient(({ running, affine }) => {
      for (const changed of [...running, ...affine]) changed.set(Float32Array.of(5, 6, 7));
    }),
    expected,
  );
});

test.serial('memory returns to where it was', (t) => {
  const shape = [2, 8, 4, 4] as const;
  const before = memory().bytes;
  {
    using x = tensor(values(1, shape), shape, { requiresGrad: true });
    using residual = tensor(values(2, shape), shape, { requiresGrad: true });
    using dy = tensor(values(3, shape), shape);
    using y = batchNormActivated(x, { training: true }, residual, 'relu');
    y.backward(dy);
    batchNorm(x, { training: true }).dispose(); // its graph is let go unused
    noGrad(() => batchNorm(x, { training: true })).dispose();
  }
  t.is(memory().bytes, before);
});

test('wrong calls', (t) => {
  const x = zeros([2, 4, 3, 3]);
  const running = { runningMean: zeros([4]), runningVar: ones([4]) };
  throwsCode(t, 'INVALID_ARGUMENT', () => batchNorm(x), /evaluation needs runningMean and runningVar/);
  throwsCode(t, 'INVALID_ARGUMENT', () => batchNorm(x, { runningMean: zeros([4]) }), /come together/);
  throwsCode(
    t,
    'INVALID_ARGUMENT',
    () => batchNorm(x, { ...running, gamma: 1 } as never),
    /unknown option gamma/,
  );
  throwsCode(t, 'INVALID_ARGUMENT', () => batchNorm(x, { ...running, eps: 0 }), /eps is positive/);
  throwsCode(
    t,
    'INVALID_ARGUMENT',
    () => batchNorm(x, { ...running, eps: '1' as never }),
    /eps is a finite number/,
  );
  throwsCode(
    t,
    'INVALID_ARGUMENT',
    () => batchNorm(x, { ...running, training: 1 as never }),
    /training is a boolean/,
  );
  throwsCode(
    t,
    'INVALID_SHAPE',
    () => batchNorm(x, { ...running, weight: zeros([3]) }),
    /weight \[3\].*expected \[4\]/,
  );
  throwsCode(
    t,
    'INVALID_SHAPE',
    () => batchNorm(zeros([1, 4, 1, 1]), { training: true }),
    /more than one value/,
  );
  throwsCode(
    t,
    'INVALID_SHAPE',
    () => batchNorm(zeros([4]) as never, running),
    /expected \[N, C, H, W\] or \[N, C\]/,
  );
  throwsCode(
    t,
    'UNSUPPORTED',
    () => batchNorm(zeros([2, 4], { dtype: 'int32' }) as never, running),
    /x is int32/,
  );
  x.dispose();
  throwsCode(t, 'DISPOSED', () => batchNorm(x, running), /x has been disposed/);
});
