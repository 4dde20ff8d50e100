import { check, show } from '../errors.js';
import { checkOptions, count, type Pair, pair } from '../options.js';
import type { Image } from './dataset.js';
import type { Generator } from './generator.js';
import { resample } from './resample.js';

/**
 * Makes a new image of an image. Random ones draw from the generator they are given, which belongs to the sample: what
 * happens to a sample depends on the seed, the epoch and its index alone.
 */
export type Transform = (image: Image, random: Generator) => Image;

/** One transform after the other. @throws INVALID_ARGUMENT for what is no function */
export function compose(...transforms: readonly Transform[]): Transform {
  for (const transform of transforms)
    check(
      typeof transform === 'function',
      'INVALID_ARGUMENT',
      () => `compose: a transform is a function, found ${show(transform)}`,
    );
  return (image, random) => transforms.reduce((current, transform) => transform(current, random), image);
}

const like = (data: Uint8Array | Float32Array, size: number) =>
  data instanceof Uint8Array ? new Uint8Array(size) : new Float32Array(size);

/** The rectangle at (top, left), zero where it lies outside of the image. */
function cut(image: Image, top: number, left: number, height: number, width: number): Image {
  const { channels } = image;
  const data = like(image.data, channels * height * width);
  const begin = Math.max(0, left);
  const end = Math.min(image.width, left + width);
  if (begin < end)
    for (let c = 0; c < channels; c++)
      for (let row = Math.max(0, -top); row < Math.min(height, image.height - top); row++) {
        const from = (c * image.height + top + row) * image.width;
        data.set(image.data.subarray(from + begin, from + end), (c * height + row) * width + begin - left);
      }
  return { data, channels, height, width };
}

/**
 * A rectangle at a random place of the image with `padding` zeros around it; as torchvision's RandomCrop.
 * @param size of the result: one number, or [height, width]
 * @throws INVALID_ARGUMENT; when it runs, INVALID_SHAPE for an image that is too small
 */
export function randomCrop(size: Pair, options: { padding?: number } = {}): Transform {
  checkOptions('randomCrop', options, ['padding']);
  const [height, width] = pair('randomCrop', 'size', size, 1);
  const padding = count('randomCrop', 'padding', options.padding ?? 0, 0);
  return (image, random) => {
    const [free, freeToo] = [image.height + 2 * padding - height, image.width + 2 * padding - width];
    check(
      free >= 0 && freeToo >= 0,
      'INVALID_SHAPE',
      () =>
        `randomCrop: ${height} x ${width} of an image of ${image.height} x ${image.width}, padding ${padding}`,
    );
    const top = random.below(free + 1) - padding;
    return cut(image, top, random.below(freeToo + 1) - padding, height, width);
  };
}

/** The rectangle in the middle, zeros where the image is smaller; as torchvision's CenterCrop. @throws INVALID_ARGUMENT */
export function centerCrop(size: Pair): Transform {
  const [height, width] = pair('centerCrop', 'size', size, 1);
  return (image) =>
    cut(image, Math.round((image.height - height) / 2), Math.round((image.width - width) / 2), height, width);
}

/** Left and right exchanged with probability p; as torchvision's RandomHorizontalFlip. @throws INVALID_ARGUMENT */
export function randomHorizontalFlip(p = 0.5): Transform {
  check(
    p >= 0 && p <= 1,
    'INVALID_ARGUMENT',
    () => `randomHorizontalFlip: p is from 0 to 1, found ${show(p)}`,
  );
  return (image, random) => {
    if (random.uniform() >= p) return image;
    const { width } = image;
    const data = image.data.slice();
    for (let row = 0; row < data.length; row += width) data.subarray(row, row + width).reverse();
    return { ...image, data };
  };
}

/**
 * Another size, bilinear, with antialiasing; as torchvision's Resize.
 * @param size one number: of the shorter side, the other in proportion; or [height, width]
 * @throws INVALID_ARGUMENT
 */
export function resize(size: Pair): Transform {
  const [height, width] = pair('resize', 'size', size, 1);
  return (image) => {
    if (typeof size !== 'number') return resample(image, height, width);
    const { height: h, width: w } = image;
    return h < w
      ? resample(image, size, Math.trunc((size * w) / h))
      : resample(image, Math.trunc((size * h) / w), size);
  };
}

/** For every byte its value, channel by channel. */
function tableOf(mean: readonly number[], std: readonly number[]): Float32Array {
  const table = new Float32Array(mean.length * 256);
  for (const [c, offset] of mean.entries())
    for (let byte = 0; byte < 256; byte++) table[c * 256 + byte] = (byte / 255 - offset) / (std[c] as number);
  return table;
}

/**
 * (x - mean) / std for each channel, as float32, where bytes count from 0 to 1: as torchvision's ToTensor and Normalize.
 * @param mean of each channel, on the scale of 0 to 1 for bytes
 * @param std of each channel, above 0
 * @throws INVALID_ARGUMENT; when it runs, INVALID_SHAPE for another number of channels
 */
export function normalize(mean: readonly number[], std: readonly number[]): Transform {
  check(
    Array.isArray(mean) &&
      Array.isArray(std) &&
      mean.length === std.length &&
      mean.every(Number.isFinite) &&
      std.every((one) => one > 0),
    'INVALID_ARGUMENT',
    () => `normalize: one mean and one std above 0 for each channel, found ${show(mean)} and ${show(std)}`,
  );
  const table = tableOf(mean, std);
  return (image) => {
    const { channels } = image;
    check(
      channels === mean.length,
      'INVALID_SHAPE',
      () => `normalize: ${mean.length} means, the image has ${channels} channels`,
    );
    const size = image.height * image.width;
    const source = image.data;
    const data = new Float32Array(source.length);
    for (let c = 0; c < channels; c++) {
      const [begin, end] = [c * size, (c + 1) * size];
      if (source instanceof Uint8Array)
        for (let i = begin; i < end; i++) data[i] = table[c * 256 + (source[i] as number)] as number;
      else {
        const [offset, scale] = [mean[c] as number, std[c] as number];
        for (let i = begin; i < end; i++) data[i] = ((source[i] as number) - offset) / scale;
      }
    }
    return { ...image, data };
  };
}
