import { noGrad } from '../autograd.js';
import type { DataLoader } from '../data/dataLoader.js';
import type { Module } from '../module.js';
import { crossEntropy } from '../ops/crossEntropy.js';
import { checkOptions } from '../options.js';
import { scope } from '../scope.js';
import type { Tensor, Tensor1D, Tensor2D, Tensor4D } from '../tensor.js';
import { accuracy, checkMetrics, type Metrics, type Scores, Tally } from './metrics.js';

/** A classifier: images [N, C, H, W] to logits [N, classes]. */
export type Classifier = Module<Tensor4D, Tensor2D>;

/** What is minimised: a scalar, the mean over the batch. */
export type Loss = (logits: Tensor2D, labels: Tensor1D<'int32'>) => Tensor;

/** A step's results on their way to host memory. @internal */
export interface Readings {
  readonly loss: Promise<Float32Array>;
  readonly logits: Promise<Float32Array>;
}

/** Queues the reading of a step's results; their tensors may go at once. @internal */
export function read(loss: Tensor, logits: Tensor): Readings {
  const readings = { loss: loss.data(), logits: logits.data() };
  // A failure is told to whoever awaits it, one step later.
  for (const reading of Object.values(readings)) reading.catch(() => {});
  return readings;
}

/**
 * Takes in results one step late: while JavaScript looks at a step, the device has the next one to work on already.
 * @internal
 */
export class OneBehind {
  #late: (() => Promise<void>) | null = null;

  /** Runs what was given before. */
  async next(takeIn: () => Promise<void>): Promise<void> {
    const late = this.#late;
    this.#late = takeIn;
    await late?.();
  }
  async finish(): Promise<void> {
    const late = this.#late;
    this.#late = null;
    await late?.();
  }
}

export interface EvaluateOptions {
  /** `crossEntropy` by default. */
  loss?: Loss;
  /** `{ accuracy }` by default. */
  metrics?: Metrics;
  /** Told of every batch's logits [labels.length, classes], for what isn't a mean. */
  onBatch?: (logits: Float32Array, labels: Int32Array) => void;
}

/**
 * Loss and metrics over one epoch of a loader, the model in evaluation mode; its mode is as before afterwards.
 * @throws what the loader, the model, the loss or the device throw; INVALID_ARGUMENT
 */
export async function evaluate(
  model: Classifier,
  loader: DataLoader,
  options: EvaluateOptions = {},
): Promise<Scores> {
  checkOptions('evaluate', options, ['loss', 'metrics', 'onBatch']);
  const { loss = crossEntropy, metrics = { accuracy }, onBatch } = options;
  checkMetrics('evaluate', metrics);
  const tally = new Tally(metrics);
  const behind = new OneBehind();
  const modes = model.modules().map((module) => [module, module.training] as const);
  model.eval();
  try {
    for await (const { images, labels, labelValues } of loader) {
      const readings = noGrad(() =>
        scope(() => {
          const logits = model.forward(images);
          return read(loss(logits, labels), logits);
        }),
      );
      await behind.next(async () => {
        const [[value], logits] = [await readings.loss, await readings.logits];
        tally.add(labelValues, value as number, logits);
        onBatch?.(logits, labelValues);
      });
    }
    await behind.finish();
  } finally {
    for (const [module, training] of modes) module.training = training;
  }
  return tally.scores;
}
