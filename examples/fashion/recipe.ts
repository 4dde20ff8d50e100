import {
  type Classifier,
  compose,
  crossEntropy,
  DataLoader,
  type Dataset,
  EMA,
  type FitOptions,
  normalize,
  optim,
  randomHorizontalFlip,
} from '../../lib/index.js';

/** Mean and deviation of the training images' pixels, on a scale of 0 to 1. */
export const MEAN = 0.286;
export const STD = 0.353;

const toInput = normalize([MEAN], [STD]);

export interface Recipe {
  epochs: number;
  batchSize: number;
  lr: number;
}
export const defaults: Recipe = { epochs: 10, batchSize: 64, lr: 0.05 };

/** The images as they are, in order. */
export function testLoader(data: Dataset, batchSize = 250): DataLoader {
  return new DataLoader(data, { batchSize, transform: toInput });
}

/**
 * SGD with Nesterov's momentum, weight decay on weights alone, warm-up and a cosine to zero, light label smoothing, flips,
 * and an average of the weights, which is what is tested. (Random crops need more epochs before they pay.)
 */
export function recipe(model: Classifier, train: Dataset, { epochs, batchSize, lr }: Recipe) {
  const loader = new DataLoader(train, {
    batchSize,
    shuffle: true,
    dropLast: true,
    transform: compose(randomHorizontalFlip(), toInput),
  });
  const optimizer = new optim.SGD(optim.decayGroups(model), {
    lr,
    momentum: 0.9,
    nesterov: true,
    weightDecay: 5e-4,
  });
  const steps = epochs * loader.length;
  const warm = Math.ceil(steps / 20);
  return {
    train: loader,
    optimizer,
    schedule: optim.warmup({ steps: warm, after: optim.cosine({ total: steps - warm + 1 }) }),
    ema: new EMA(model, { decay: 0.998 }),
    loss: (logits, labels) => crossEntropy(logits, labels, { labelSmoothing: 0.02 }),
    epochs,
  } satisfies FitOptions;
}
