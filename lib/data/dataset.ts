import { check } from '../errors.js';

/** An image in host memory: [channels, height, width], row-major. Bytes are 0 to 255, floats whatever they are. */
export interface Image {
  readonly data: Uint8Array | Float32Array;
  readonly channels: number;
  readonly height: number;
  readonly width: number;
}

/** An image and its class. */
export interface Sample {
  readonly image: Image;
  /** The index of the class. */
  readonly label: number;
}

/** Samples by index: in memory (a sample at once) or from elsewhere (a promise). Anything of this form will do. */
export interface Dataset {
  /** The number of samples. */
  readonly length: number;
  /** The names of the classes; a label is an index into them. */
  readonly classes: readonly string[];
  get(index: number): Sample | Promise<Sample>;
}

/** @internal @throws INVALID_ARGUMENT unless the index is one of the dataset's */
export function checkIndex(name: string, index: number, length: number): void {
  check(
    Number.isInteger(index) && index >= 0 && index < length,
    'INVALID_ARGUMENT',
    () => `${name}: sample ${index} of ${length}`,
  );
}

/** Images of one size in one array. A sample's image shows the array's memory, no copy. */
export class ArrayDataset implements Dataset {
  readonly length: number;

  /**
   * @param images [N, C, H, W], row-major
   * @param shape [N, C, H, W]
   * @param labels of the N images
   * @throws INVALID_SHAPE where the sizes don't fit, INVALID_ARGUMENT for a label without a class
   */
  constructor(
    readonly images: Uint8Array | Float32Array,
    readonly shape: readonly [number, number, number, number],
    readonly labels: Uint8Array | Int32Array,
    readonly classes: readonly string[],
  ) {
    const [count, channels, height, width] = shape;
    check(
      images.length === count * channels * height * width && labels.length === count,
      'INVALID_SHAPE',
      () =>
        `ArrayDataset: shape [${shape}] with ${images.length} values and ${labels.length} labels; ` +
        `${count * channels * height * width} and ${count} are needed`,
    );
    const lost = labels.findIndex((label) => label < 0 || label >= classes.length);
    check(
      lost < 0,
      'INVALID_ARGUMENT',
      () => `ArrayDataset: label ${labels[lost]} of sample ${lost}, ${classes.length} classes`,
    );
    this.length = count;
  }

  /** @throws INVALID_ARGUMENT for an index that isn't there */
  get(index: number): Sample {
    checkIndex('ArrayDataset', index, this.length);
    const [, channels, height, width] = this.shape;
    const size = channels * height * width;
    const data = this.images.subarray(index * size, (index + 1) * size);
    return { image: { data, channels, height, width }, label: this.labels[index] as number };
  }
}

/** Some samples of a dataset, in the order of `indices`. @throws INVALID_ARGUMENT for an index that isn't there */
export function subset(dataset: Dataset, indices: ArrayLike<number>): Dataset {
  const chosen = Array.from(indices);
  for (const index of chosen) checkIndex('subset', index, dataset.length);
  return {
    length: chosen.length,
    classes: dataset.classes,
    get: (index) => {
      checkIndex('subset', index, chosen.length);
      return dataset.get(chosen[index] as number);
    },
  };
}
