import { existsSync } from 'node:fs';
import type { Batch, DataLoader } from '../data/dataLoader.js';
import { busySeconds, synchronize } from '../device.js';
import { check } from '../errors.js';
import { crossEntropy } from '../ops/crossEntropy.js';
import { clipGradNorm } from '../optim/clipGradNorm.js';
import type { GradScaler } from '../optim/gradScaler.js';
import type { Optimizer } from '../optim/optimizer.js';
import { type Schedule, Scheduler } from '../optim/schedules.js';
import { checkOptions, count } from '../options.js';
import { scope } from '../scope.js';
import type { Tensor0D } from '../tensor.js';
import { loadCheckpoint, removeLeftovers, saveCheckpoint } from './checkpoint.js';
import type { EMA } from './ema.js';
import { type Classifier, evaluate, type Loss, OneBehind, type Readings, read } from './evaluate.js';
import { accuracy, checkMetrics, type Metrics, type Scores, Tally } from './metrics.js';

/** One epoch. */
export interface EpochReport {
  /** From 1 on. */
  readonly epoch: number;
  /** Of the epoch's last step. */
  readonly lr: number;
  /** Means over the epoch's samples, each with the weights of its time, in training mode. */
  readonly train: Scores;
  /** With the weights at the epoch's end, averaged ones where there is an average; evaluation mode. */
  readonly validation?: Scores;
  /** The epoch's training, without validation. */
  readonly seconds: number;
  readonly imagesPerSecond: number;
  /** The share of that time which the device spent inside operators, 0 to 1. */
  readonly busy: number;
}

/** One step, told while the device works on the next one. */
export interface StepReport {
  readonly epoch: number;
  /** Of the epoch, from 1 to `steps`. */
  readonly step: number;
  readonly steps: number;
  readonly loss: number;
  /** Means over the epoch so far. */
  readonly scores: Scores;
}

export interface CheckpointOptions {
  path: string;
  /** Whether to go on from the file where there is one; false by default. */
  resume?: boolean;
}

export interface FitOptions {
  train: DataLoader;
  /** Goes through `evaluate` after every epoch. */
  validation?: DataLoader;
  epochs: number;
  optimizer: Optimizer;
  /** The factor of the optimiser's learning rate, by steps since the start; 1 by default. */
  schedule?: Schedule;
  /** `crossEntropy` by default; label smoothing is `(logits, labels) => crossEntropy(logits, labels, { … })`. */
  loss?: Loss;
  /** `{ accuracy }` by default. */
  metrics?: Metrics;
  /** The gradients' largest norm, see `optim.clipGradNorm`; not clipped by default. */
  clipGradNorm?: number;
  /** For models that compute in float16. */
  scaler?: GradScaler;
  /** Updated after every step that is taken; its weights are what `validation` sees. */
  ema?: EMA;
  onStep?: (report: StepReport) => void;
  /** Called after every epoch, before its checkpoint is written; awaited. */
  onEpoch?: (report: EpochReport) => void | Promise<void>;
  /** Written after every epoch. */
  checkpoint?: CheckpointOptions;
  /** Stops the training after the step that runs. */
  signal?: AbortSignal;
}

/** What became of a training. */
export interface History {
  /** One for each complete epoch, those before a resume included. */
  readonly epochs: EpochReport[];
  /** Whether the signal stopped it. */
  readonly aborted: boolean;
}

const known = [
  'train',
  'validation',
  'epochs',
  'optimizer',
  'schedule',
  'loss',
  'metrics',
  'clipGradNorm',
  'scaler',
  'ema',
  'onStep',
  'onEpoch',
  'checkpoint',
  'signal',
] as const satisfies (keyof FitOptions)[];

/** What a checkpoint of `fit` says beside the states. */
interface Progress {
  stepsPerEpoch: number;
  epochs: EpochReport[];
}

/**
 * Trains a classifier. Nothing here is out of a user's reach: it is a loop over a {@link DataLoader} with
 * `loss.backward()` and `optimizer.step()` in a `scope`, {@link evaluate}, {@link saveCheckpoint} and callbacks.
 *
 * A seeded training repeats bitwise on any number of threads, and so does one that goes on from its checkpoint. When the
 * signal aborts, the promise resolves with the complete epochs and `aborted: true`: the model has the weights of its last
 * step, the checkpoint is that of the last complete epoch, and a resume repeats the epoch from its start.
 *
 * @throws INVALID_ARGUMENT (an option, a checkpoint of another training), INVALID_FILE (a broken checkpoint), and what
 *   the loaders, the model, the loss, the callbacks or the device throw
 */
export async function fit(model: Classifier, options: FitOptions): Promise<History> {
  checkOptions('fit', options, known);
  const { train, validation, optimizer, schedule, scaler, ema, checkpoint, signal, onEpoch } = options;
  const { loss = crossEntropy, metrics = { accuracy } } = options;
  count('fit', 'epochs', options.epochs);
  checkMetrics('fit', metrics);
  checkOptions('fit: checkpoint', checkpoint ?? {}, ['path', 'resume']);
  const scheduler = new Scheduler(optimizer, schedule ?? (() => 1));
  const loaders = validation ? [train, validation] : [train];
  const training = { model, optimizer, scaler, ema, loaders };
  let epochs: EpochReport[] = [];

  if (checkpoint?.resume && existsSync(checkpoint.path)) {
    const progress = loadCheckpoint(checkpoint.path, training) as Progress;
    check(
      progress.stepsPerEpoch === train.length,
      'INVALID_ARGUMENT',
      () =>
        `fit: the checkpoint is of epochs of ${progress.stepsPerEpoch} steps, this one has ${train.length}`,
    );
    ({ epochs } = progress);
    scheduler.time = epochs.length * train.length;
    removeLeftovers(checkpoint.path);
  }

  while (epochs.length < options.epochs && !signal?.aborted) {
    const trained = await trainEpoch(model, { ...options, loss, metrics }, epochs.length + 1, scheduler);
    if (trained === null) break;
    const scoring = () => evaluate(model, validation as DataLoader, { loss, metrics });
    const scores = validation && (ema ? await ema.use(scoring) : await scoring());
    const report = { ...trained, ...(scores && { validation: scores }) };
    epochs.push(report);
    await onEpoch?.(report);
    if (checkpoint) await saveCheckpoint(checkpoint.path, training, progressOf(train, epochs));
  }
  return { epochs, aborted: epochs.length < options.epochs };
}

const progressOf = (train: DataLoader, epochs: EpochReport[]): Progress => ({
  stepsPerEpoch: train.length,
  epochs,
});

type Settings = FitOptions & Required<Pick<FitOptions, 'loss' | 'metrics'>>;

/** Forward, backward and an update. Resolves once all of it is queued: at once, or, with a scaler, after backward. */
async function trainStep(
  model: Classifier,
  { images, labels }: Batch,
  settings: Settings,
): Promise<Readings> {
  const { loss, optimizer, scaler, ema, clipGradNorm: maxNorm } = settings;
  const readings = scope(() => {
    optimizer.zeroGrad(); // before forward, whose activations take their place
    const logits = model.forward(images);
    const value = loss(logits, labels);
    if (scaler) scaler.scale(value as Tensor0D).backward();
    else value.backward();
    return read(value, logits);
  });
  if (!scaler) {
    if (maxNorm !== undefined) clipGradNorm(optimizer.parameters, maxNorm).dispose();
    optimizer.step();
  } else {
    const stepped = await scaler.step(optimizer, maxNorm === undefined ? {} : { clipGradNorm: maxNorm });
    scaler.update();
    if (!stepped) return readings;
  }
  ema?.update();
  return readings;
}

/** Null when the signal stopped it. */
async function trainEpoch(
  model: Classifier,
  settings: Settings,
  epoch: number,
  scheduler: Scheduler,
): Promise<EpochReport | null> {
  const { train, metrics, optimizer, signal, onStep } = settings;
  const tally = new Tally(metrics);
  const behind = new OneBehind();
  const device = optimizer.parameters[0]?.device;
  const start = { time: performance.now(), busy: busySeconds(device) };
  let step = 0;
  let lr = optimizer.lr;
  model.train();
  for await (const batch of train) {
    lr = optimizer.lr;
    const readings = await trainStep(model, batch, settings);
    scheduler.step();
    const { labelValues } = batch;
    const number = ++step;
    await behind.next(async () => {
      const [[loss], logits] = [await readings.loss, await readings.logits];
      tally.add(labelValues, loss as number, logits);
      onStep?.({ epoch, step: number, steps: train.length, loss: loss as number, scores: tally.scores });
    });
    if (signal?.aborted) break;
  }
  await behind.finish();
  await synchronize(device);
  if (step < train.length) return null;
  const seconds = (performance.now() - start.time) / 1000;
  return {
    epoch,
    lr,
    train: tally.scores,
    seconds,
    imagesPerSecond: train.samples / seconds,
    busy: (busySeconds(device) - start.busy) / seconds,
  };
}
