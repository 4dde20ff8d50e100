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
  randomCrop,
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
export const defaults: Recipe = { epochs: 10, batchSize: 128, lr: 0.1 };

/** The images as they are, in order. */
export function testLoader(data: Dataset, batchSize = 250): DataLoader {
  return new DataLoader(data, { batchSize, transform: toInput });
}

/**
 * SGD with Nesterov's momentum, weight decay on weights alone, one epoch of warm-up and a cosine to zero, label smoothing,
 * crops and flips, and an average of the weights, which is what is tested.
 */
export function recipe(model: Classifier, train: Dataset, { epochs, batchSize, lr }: Recipe) {
  const loader = new DataLoader(train, {
    batchSize,
    shuffle: true,
    dropLast: true,
    transform: compose(randomCrop(28, { padding: 2 }), randomHorizontalFlip(), toInput),
  });
  const optimizer = new optim.SGD(optim.decayGroups(model), {
    lr,
    momentum: 0.9,
    nesterov: true,
    weightDecay: 5e-4,
  });
  const steps = epochs * loader.length;
  const warm = Math.min(loader.length, steps - 1) || 1;
  return {
    train: loader,
    optimizer,
    schedule: optim.warmup({ steps: warm, after: optim.cosine({ total: Math.max(1, steps - warm) }) }),
    ema: new EMA(model, { decay: 0.995 }),
    loss: (logits, labels) => crossEntropy(logits, labels, { labelSmoothing: 0.05 }),
    epochs,
  } satisfies FitOptions;
}
