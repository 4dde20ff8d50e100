import sharp from 'sharp';
import { GroupConvError } from '../lib/index.js';
import { faceApiFile } from './faceApi.js';

/** The photographs in the package's demo folder: groups of people indoors, 1920 pixels wide, RGB. */
const NAMES = ['sample1.jpg', 'sample2.jpg', 'sample3.jpg', 'sample4.jpg', 'sample5.jpg', 'sample6.jpg'];

/** ImageNet's channel means and deviations on a scale of 0 to 1, as torchvision's networks expect. */
const MEAN = [0.485, 0.456, 0.406];
const DEVIATION = [0.229, 0.224, 0.225];

/** A batch of images: `data` is [names.length, 3, size, size] in row-major order. */
export interface Photographs {
  readonly data: Float32Array;
  readonly names: string[];
}

/**
 * Reads photographs as a batch for an ImageNet network: the shorter side fills the square, the longer one is cut
 * where the least happens (libvips's attention), pixels are normalised by ImageNet's mean and deviation.
 *
 * @param count - images in the batch, 1 to 6
 * @param size - height and width of the images in pixels, for example 224
 * @throws GroupConvError `INVALID_ARGUMENT` where count or size is out of range
 */
export async function loadPhotographs(count: number, size: number): Promise<Photographs> {
  if (!Number.isInteger(count) || count < 1 || count > NAMES.length) {
    throw new GroupConvError(
      'INVALID_ARGUMENT',
      `loadPhotographs: count is ${count}, expected 1 to ${NAMES.length}`,
    );
  }
  if (!Number.isInteger(size) || size < 1) {
    throw new GroupConvError(
      'INVALID_ARGUMENT',
      `loadPhotographs: size is ${size}, expected a positive integer`,
    );
  }
  const names = NAMES.slice(0, count);
  const images = await Promise.all(names.map((name) => readSquare(name, size)));
  const data = new Float32Array(count * 3 * size * size);
  images.forEach((pixels, n) => {
    data.set(normalise(pixels), n * 3 * size * size);
  });
  return { data, names };
}

/** RGB bytes of one photograph, [size, size, 3]. */
function readSquare(name: string, size: number): Promise<Uint8Array> {
  return sharp(faceApiFile('demo', name))
    .resize(size, size, { fit: 'cover', position: sharp.strategy.attention })
    .toColourspace('srgb')
    .removeAlpha()
    .raw()
    .toBuffer();
}

/** [size, size, 3] bytes to [3, size, size] floats of about zero mean and unit variance. */
function normalise(pixels: Uint8Array): Float32Array {
  const plane = pixels.length / 3;
  return Float32Array.from(pixels, (_, i) => {
    const channel = Math.floor(i / plane);
    return (pixels[(i % plane) * 3 + channel]! / 255 - MEAN[channel]!) / DEVIATION[channel]!;
  });
}
