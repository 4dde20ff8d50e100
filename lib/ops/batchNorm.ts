import { type ActivationName, activationCodes } from '../activation.js';
import type { Backward, GradSlot } from '../autograd.js';
import type { FloatDType } from '../dtype.js';
import { check, show } from '../errors.js';
import { type Handle, native } from '../native.js';
import { checkOptions, flag } from '../options.js';
import { handleOf, inputCheck, record } from '../record.js';
import { Storage } from '../storage.js';
import type { Shape, Shape2D, Shape4D, Tensor, Tensor1D } from '../tensor.js';

export interface BatchNormOptions {
  /** [C], 1 by default */
  weight?: Tensor1D | null;
  /** [C], 0 by default */
  bias?: Tensor1D | null;
  /** [C]. Read in evaluation; updated in place in training, where it may be absent. */
  runningMean?: Tensor1D | null;
  /** [C], like `runningMean`; in training it receives the unbiased variance. */
  runningVar?: Tensor1D | null;
  /** Normalise by the batch's own statistics, which need more than one value per channel. */
  training?: boolean;
  /** The share of the batch in the new running statistics, 0.1 by default. */
  momentum?: number;
  /** Added to the variance, 1e-5 by default. */
  eps?: number;
}

const known = ['weight', 'bias', 'runningMean', 'runningVar', 'training', 'momentum', 'eps'] as const;

/**
 * (x - mean) / sqrt(variance + eps) * weight + bias, per channel. As torch.nn.functional.batch_norm: in training mean
 * and variance are those of x over N, H and W, in evaluation the running ones.
 *
 * @param x [N, C, H, W] or [N, C]
 * @throws INVALID_SHAPE (a parameter that is not [C], a single value per channel in training), INVALID_ARGUMENT (an
 *   option, no running statistics in evaluation), DISPOSED, UNSUPPORTED (dtype)
 */
export function batchNorm<S extends Shape4D | Shape2D, D extends FloatDType = 'float32'>(
  x: Tensor<S, D>,
  options: BatchNormOptions = {},
): Tensor<S, D> {
  checkOptions('batchNorm', options, known);
  return batchNormActivated(x, options, null, 'none');
}

const checkBatchNorm = inputCheck(
  'batchNorm',
  ['x', 'residual?'],
  ['weight?', 'bias?', 'runningMean?', 'runningVar?'],
);
const targetOf = (slot: GradSlot | null | undefined): [Handle | null, boolean] =>
  slot?.target() ?? [null, false];

function checkFinite(name: string, value: number): void {
  check(
    Number.isFinite(value),
    'INVALID_ARGUMENT',
    () => `batchNorm: ${name} is a finite number, found ${show(value)}`,
  );
}

/** activation(batchNorm(x) + residual) in the same passes over memory. @internal */
export function batchNormActivated<S extends Shape4D | Shape2D, D extends FloatDType = 'float32'>(
  x: Tensor<S, D>,
  options: BatchNormOptions,
  residual: Tensor<S, D> | null,
  activation: ActivationName,
): Tensor<S, D> {
  const { training = false, momentum = 0.1, eps = 1e-5 } = options;
  const { weight = null, bias = null, runningMean = null, runningVar = null } = options;
  checkBatchNorm(x, residual, weight, bias, runningMean, runningVar);
  flag('batchNorm', 'training', training);
  checkFinite('momentum', momentum);
  checkFinite('eps', eps);
  check(
    (runningMean === null) === (runningVar === null),
    'INVALID_ARGUMENT',
    'batchNorm: runningMean and runningVar come together',
  );

  const kind = activationCodes[activation];
  const [w, b, r] = [handleOf(weight), handleOf(bias), handleOf(residual)];
  const inputs = [x, weight, bias, residual] as const;
  if (!training) {
    check(
      runningMean && runningVar,
      'INVALID_ARGUMENT',
      'batchNorm: evaluation needs runningMean and runningVar; pass training: true to use the statistics of x',
    );
    const [mean, variance] = [runningMean.handle, runningVar.handle];
    const y = native.batchNormEval(x.handle, w, b, mean, variance, eps, r, kind);
    return record<S, D>('batchNorm', y, inputs, (save, output) => {
      using statistics = new Storage(native.batchNormStatistics(w, b, mean, variance, eps));
      return gradient(save, output, statistics, { x, residual, activation, training });
    });
  }
  const [y, statistics] = native.batchNormTrain(
    x.handle,
    w,
    b,
    handleOf(runningMean),
    handleOf(runningVar),
    momentum,
    eps,
    r,
    kind,
  );
  for (const running of [runningMean, runningVar]) if (running) running.storage.version++;
  using held = new Storage(statistics);
  return record<S, D>('batchNorm', y, inputs, (save, output) =>
    gradient(save, output, held, { x, residual, activation, training }),
  );
}

type Activation = Tensor<Shape, FloatDType>;

interface Forward {
  x: Activation;
  residual: Activation | null;
  activation: ActivationName;
  training: boolean;
}

/** Saves what backward needs; slots are x, weight, bias, residual. */
function gradient(
  save: (value: Activation | Storage) => Storage,
  output: Activation,
  statistics: Storage,
  { x, residual, activation, training }: Forward,
): Backward {
  const savedX = save(x);
  const savedStatistics = save(statistics);
  // Without a residual the activation's mask comes from x.
  const y = residual && activation !== 'none' ? save(output) : null;
  return (dy, [dx, dweight, dbias, dresidual]) => {
    if (!y) dresidual?.pass(dy);
    if (!dx && !dweight && !dbias && !(y && dresidual)) return;
    native.batchNormGrad(
      dy.handle,
      savedX.handle,
      y?.handle ?? null,
      savedStatistics.handle,
      training,
      activationCodes[activation],
      // In this order: where x is its own residual, the second adds to the first.
      ...targetOf(dx),
      ...targetOf(y ? dresidual : null),
      ...targetOf(dweight),
      ...targetOf(dbias),
    );
  };
}
