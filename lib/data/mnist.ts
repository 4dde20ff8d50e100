import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { check, show } from '../errors.js';
import { ArrayDataset } from './dataset.js';
import { invalidFile } from './files.js';
import { readIdx } from './idx.js';

/** The classes of Fashion-MNIST (Xiao, Rasul, Vollgraf 2017) in the order of their labels. */
export const FASHION_MNIST_CLASSES = [
  'T-shirt/top',
  'Trouser',
  'Pullover',
  'Dress',
  'Coat',
  'Sandal',
  'Shirt',
  'Sneaker',
  'Bag',
  'Ankle boot',
] as const;

const DIGITS = Array.from({ length: 10 }, (_, digit) => String(digit));
const prefixes = { train: 'train', test: 't10k' } as const;

function find(folder: string, name: string): string {
  const plain = join(folder, name);
  return existsSync(plain) ? plain : `${plain}.gz`;
}

/**
 * One part of a dataset of the MNIST family, from a folder with the files as they are published
 * (`train-images-idx3-ubyte`, …, plain or `.gz`).
 *
 * @param options classes: their names; the digits by default
 * @throws INVALID_FILE, naming the file and the byte, when one is missing, broken, or they don't belong together
 */
export async function mnist(
  folder: string,
  part: 'train' | 'test',
  options: { classes?: readonly string[] } = {},
): Promise<ArrayDataset> {
  check(
    Object.hasOwn(prefixes, part),
    'INVALID_ARGUMENT',
    () => `mnist: part is 'train' or 'test', found ${show(part)}`,
  );
  const classes = options.classes ?? DIGITS;
  const imagesPath = find(folder, `${prefixes[part]}-images-idx3-ubyte`);
  const labelsPath = find(folder, `${prefixes[part]}-labels-idx1-ubyte`);
  const [images, labels] = await Promise.all([readIdx(imagesPath), readIdx(labelsPath)]);
  const [count = 0, height = 0, width = 0] = images.shape;
  if (!(images.data instanceof Uint8Array) || images.shape.length !== 3)
    throw invalidFile('mnist', imagesPath, 2, `[${images.shape}] is no array of images [N, H, W] in bytes`);
  if (!(labels.data instanceof Uint8Array) || labels.shape.length !== 1)
    throw invalidFile('mnist', labelsPath, 2, `[${labels.shape}] is no array of labels [N] in bytes`);
  if (labels.data.length !== count)
    throw invalidFile('mnist', labelsPath, 4, `${labels.data.length} labels for ${count} images`);
  const lost = labels.data.findIndex((label) => label >= classes.length);
  if (lost >= 0)
    throw invalidFile('mnist', labelsPath, 8 + lost, `label ${labels.data[lost]}, ${classes.length} classes`);
  return new ArrayDataset(images.data, [count, 1, height, width], labels.data, classes);
}

/** Fashion-MNIST: 60,000 and 10,000 grey images of clothes, 28 x 28. As {@link mnist}. */
export function fashionMnist(folder: string, part: 'train' | 'test'): Promise<ArrayDataset> {
  return mnist(folder, part, { classes: FASHION_MNIST_CLASSES });
}
