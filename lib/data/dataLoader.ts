import { tensor } from '../create.js';
import type { Device } from '../device.js';
import { check, show } from '../errors.js';
import { checkOptions, count } from '../options.js';
import { keep } from '../scope.js';
import type { Tensor1D, Tensor4D } from '../tensor.js';
import type { Dataset, Image, Sample } from './dataset.js';
import { Generator, permutation, takeSeed } from './generator.js';
import type { Transform } from './transforms.js';

export interface DataLoaderOptions {
  /** Samples of a batch. */
  batchSize: number;
  /** Whether every epoch has an order of its own; false by default. */
  shuffle?: boolean;
  /** Of the order and of random transforms; by default from the generator that `manualSeed` seeds. */
  seed?: number;
  /** Whether a last batch that isn't full is left out; false by default. */
  dropLast?: boolean;
  /** What becomes of each image. Bytes that no transform has made floats are divided by 255. */
  transform?: Transform;
  /** Batches that are prepared ahead, while the device works; 2 by default. */
  prefetch?: number;
  /** Where the batches go; the default device by default. */
  device?: Device;
}

const known = ['batchSize', 'shuffle', 'seed', 'dropLast', 'transform', 'prefetch', 'device'] as const;

/** Some samples as tensors. They live until the next batch is asked for. */
export interface Batch {
  /** [N, C, H, W] */
  readonly images: Tensor4D;
  /** [N] */
  readonly labels: Tensor1D<'int32'>;
  /** The labels in host memory. */
  readonly labelValues: Int32Array;
  /** Which samples of the dataset they are. */
  readonly indices: Uint32Array;
}

/** A batch in host memory. */
interface Prepared {
  images: Float32Array;
  shape: readonly [number, number, number, number];
  labels: Int32Array;
  indices: Uint32Array;
}

/** Where a loader stands. */
export interface LoaderState {
  readonly seed: number;
  readonly epoch: number;
}

/** The shuffling's stream of an epoch; samples have (epoch, 1 + index). */
const ORDER = 0;

/**
 * Batches of a dataset, prepared while the device works on earlier ones.
 *
 * ```ts
 * for await (const { images, labels } of loader) … // every loop is one epoch
 * ```
 *
 * The order of an epoch and what random transforms do follow from the seed, the epoch and a sample's index alone: a run
 * can go on from `{ seed, epoch }`.
 */
export class DataLoader {
  readonly batchSize: number;
  readonly seed: number;
  /** The number of batches of an epoch. */
  readonly length: number;
  readonly #options: DataLoaderOptions;
  readonly #prefetch: number;
  #epoch = 0;

  /** @throws INVALID_ARGUMENT */
  constructor(
    readonly dataset: Dataset,
    options: DataLoaderOptions,
  ) {
    checkOptions('DataLoader', options, known);
    check(
      typeof dataset?.get === 'function',
      'INVALID_ARGUMENT',
      () => `DataLoader: a dataset has length and get(index), found ${show(dataset)}`,
    );
    check(
      options.transform === undefined || typeof options.transform === 'function',
      'INVALID_ARGUMENT',
      () => `DataLoader: transform is a function, found ${show(options.transform)}`,
    );
    this.#options = options;
    this.batchSize = count('DataLoader', 'batchSize', options.batchSize);
    this.#prefetch = count('DataLoader', 'prefetch', options.prefetch ?? 2, 0);
    this.seed = options.seed ?? takeSeed();
    check(
      Number.isSafeInteger(this.seed) && this.seed >= 0,
      'INVALID_ARGUMENT',
      () => `DataLoader: the seed is a whole number from 0 to 2^53 - 1, found ${this.seed}`,
    );
    const batches = dataset.length / this.batchSize;
    this.length = options.dropLast ? Math.floor(batches) : Math.ceil(batches);
    check(
      this.length > 0,
      'INVALID_ARGUMENT',
      () => `DataLoader: ${dataset.length} samples make no batch of ${this.batchSize}`,
    );
  }

  /** The number of samples that an epoch goes through. */
  get samples(): number {
    return Math.min(this.dataset.length, this.length * this.batchSize);
  }
  /** The epoch that the next loop goes through, from 0 on. Settable, to go on or to repeat. @throws INVALID_ARGUMENT */
  get epoch(): number {
    return this.#epoch;
  }
  set epoch(value: number) {
    this.#epoch = count('DataLoader', 'epoch', value, 0);
  }
  state(): LoaderState {
    return { seed: this.seed, epoch: this.#epoch };
  }
  /** @throws INVALID_ARGUMENT for the state of a loader with another seed */
  loadState({ seed, epoch }: LoaderState): void {
    check(
      seed === this.seed,
      'INVALID_ARGUMENT',
      () => `DataLoader: the state is of seed ${seed}, this loader has seed ${this.seed}`,
    );
    this.epoch = epoch;
  }

  /**
   * One epoch.
   * @throws INVALID_SHAPE when the images of a batch differ in size, INVALID_ARGUMENT for what is no sample, and what the
   *   dataset throws
   */
  async *[Symbol.asyncIterator](): AsyncGenerator<Batch, void, undefined> {
    const epoch = this.#epoch++;
    const order = this.#order(epoch);
    const ahead: Promise<Prepared>[] = [];
    for (let at = 0; at < this.length; at++) {
      const prepared = await (ahead.shift() ?? this.#prepare(order, at, epoch));
      for (let next = at + 1 + ahead.length; ahead.length < this.#prefetch && next < this.length; next++)
        ahead.push(afterwards(() => this.#prepare(order, next, epoch)));
      const batch = upload(prepared, this.#options.device);
      try {
        yield batch;
      } finally {
        batch.images.dispose();
        batch.labels.dispose();
      }
    }
  }

  #order(epoch: number): Uint32Array {
    const { length } = this.dataset;
    if (this.#options.shuffle) return permutation(length, new Generator(this.seed, [epoch, ORDER]));
    return Uint32Array.from({ length }, (_, i) => i);
  }

  async #prepare(order: Uint32Array, at: number, epoch: number): Promise<Prepared> {
    const indices = order.subarray(at * this.batchSize, (at + 1) * this.batchSize);
    const found = Array.from(indices, (index) => this.dataset.get(index));
    // Datasets in memory answer at once; the others work on the whole batch at the same time.
    const samples = found.some((sample) => sample instanceof Promise)
      ? await Promise.all(found)
      : (found as Sample[]);
    return this.#assemble(samples, indices, epoch);
  }

  #assemble(samples: readonly Sample[], indices: Uint32Array, epoch: number): Prepared {
    const { transform } = this.#options;
    let images = new Float32Array(0);
    let first: Image | undefined;
    for (const [i, sample] of samples.entries()) {
      const index = indices[i] as number;
      checkSample(sample, index);
      const { image } = sample;
      const made = transform ? transform(image, new Generator(this.seed, [epoch, index + 1])) : image;
      if (made !== image) checkImage(made, index);
      if (!first) images = new Float32Array(samples.length * made.data.length);
      first ??= made;
      checkSize(made, first, index);
      const begin = i * made.data.length;
      if (made.data instanceof Float32Array) images.set(made.data, begin);
      else for (let j = 0; j < made.data.length; j++) images[begin + j] = (made.data[j] as number) / 255;
    }
    const { channels = 0, height = 0, width = 0 } = first ?? {};
    const labels = Int32Array.from(samples, ({ label }) => label);
    return { images, shape: [samples.length, channels, height, width], labels, indices };
  }
}

/** What is wrong with a sample would else be trained on unnoticed. @throws INVALID_ARGUMENT, INVALID_SHAPE */
function checkSample(sample: Sample, index: number): void {
  checkImage(sample?.image, index);
  check(
    Number.isInteger(sample.label),
    'INVALID_ARGUMENT',
    () => `DataLoader: sample ${index} has label ${show(sample.label)}, a whole number is needed`,
  );
}

function checkImage(image: Image, index: number): void {
  const data: unknown = image?.data;
  check(
    data instanceof Uint8Array || data instanceof Float32Array,
    'INVALID_ARGUMENT',
    () =>
      `DataLoader: sample ${index}: an image is { data: Uint8Array or Float32Array, channels, height, width }, at once, found ${show(image)}`,
  );
  const { channels, height, width } = image;
  check(
    data.length === channels * height * width,
    'INVALID_SHAPE',
    () => `DataLoader: sample ${index} is [${channels}, ${height}, ${width}] with ${data.length} values`,
  );
}

function checkSize(image: Image, first: Image, index: number): void {
  check(
    image.channels === first.channels && image.height === first.height && image.width === first.width,
    'INVALID_SHAPE',
    () =>
      `DataLoader: sample ${index} is [${image.channels}, ${image.height}, ${image.width}], others of its batch are ` +
      `[${first.channels}, ${first.height}, ${first.width}]; transforms can make sizes one`,
  );
}

function upload({ images, shape, labels, indices }: Prepared, device: Device | undefined): Batch {
  const options = device === undefined ? {} : { device };
  return {
    images: keep(tensor(images, shape, options)),
    labels: keep(tensor(labels, [labels.length], options)),
    labelValues: labels,
    indices,
  };
}

/**
 * Runs `work` once whoever waits for the present batch has queued what to do with it. A failure is told to whoever asks
 * for the result; it is not unhandled until then.
 */
function afterwards<T>(work: () => Promise<T>): Promise<T> {
  const result = new Promise<void>((resolve) => setImmediate(resolve)).then(work);
  result.catch(() => {});
  return result;
}
