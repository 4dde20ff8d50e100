import { join } from 'node:path';
import { check, show } from '../errors.js';
import { ArrayDataset } from './dataset.js';
import { fileBytes, invalidFile } from './files.js';

/** The classes of CIFAR-10 (Krizhevsky 2009) in the order of their labels. */
export const CIFAR10_CLASSES = [
  'airplane',
  'automobile',
  'bird',
  'cat',
  'deer',
  'dog',
  'frog',
  'horse',
  'ship',
  'truck',
] as const;

const SIZE = 3 * 32 * 32;
const RECORD = 1 + SIZE; // the label, then the red, the green and the blue plane

const files = {
  train: [1, 2, 3, 4, 5].map((number) => `data_batch_${number}.bin`),
  test: ['test_batch.bin'],
} as const;

/** Copies a file's images and labels. */
function readRecords(path: string, bytes: Uint8Array, images: Uint8Array, labels: Uint8Array): void {
  for (let record = 0; record < labels.length; record++) {
    const begin = record * RECORD;
    const label = bytes[begin] as number;
    if (label >= CIFAR10_CLASSES.length)
      throw invalidFile('cifar10', path, begin, `label ${label} of image ${record}, labels are 0 to 9`);
    labels[record] = label;
    images.set(bytes.subarray(begin + 1, begin + RECORD), record * SIZE);
  }
}

/**
 * Images from files of CIFAR-10's binary version, one after the other.
 * @throws INVALID_FILE, naming the file and the byte, when one is missing, truncated or has a label beyond 9
 */
export async function readCifar10(paths: readonly string[]): Promise<ArrayDataset> {
  const contents = await Promise.all(paths.map((path) => fileBytes('cifar10', path)));
  for (const [i, { length }] of contents.entries())
    if (length === 0 || length % RECORD !== 0)
      throw invalidFile(
        'cifar10',
        paths[i] as string,
        length,
        `the file ends inside of a record; records have ${RECORD} bytes`,
      );
  const counts = contents.map(({ length }) => length / RECORD);
  const count = counts.reduce((sum, own) => sum + own, 0);
  const images = new Uint8Array(count * SIZE);
  const labels = new Uint8Array(count);
  let first = 0;
  for (const [i, bytes] of contents.entries()) {
    const next = first + (counts[i] as number);
    readRecords(
      paths[i] as string,
      bytes,
      images.subarray(first * SIZE, next * SIZE),
      labels.subarray(first, next),
    );
    first = next;
  }
  return new ArrayDataset(images, [count, 3, 32, 32], labels, CIFAR10_CLASSES);
}

/**
 * One part of CIFAR-10, 50,000 or 10,000 colour images of 32 x 32, from the folder of its binary version
 * (https://www.cs.toronto.edu/~kriz/cifar.html, "cifar-10-batches-bin"). As {@link readCifar10}.
 */
export async function cifar10(folder: string, part: 'train' | 'test'): Promise<ArrayDataset> {
  check(
    Object.hasOwn(files, part),
    'INVALID_ARGUMENT',
    () => `cifar10: part is 'train' or 'test', found ${show(part)}`,
  );
  return readCifar10(files[part].map((file) => join(folder, file)));
}
