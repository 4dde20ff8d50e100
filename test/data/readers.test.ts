import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import test, { type ExecutionContext } from 'ava';
import {
  cifar10,
  FASHION_MNIST_CLASSES,
  fashionMnist,
  Generator,
  GroupConvError,
  mnist,
  readCifar10,
  readIdx,
} from '../../lib/index.js';
import { rejectsCode } from '../helpers/errors.js';

const folder = mkdtempSync(join(tmpdir(), 'groupconv-data-'));
test.after.always(() => rmSync(folder, { recursive: true }));

let files = 0;
function write(bytes: Uint8Array, name = `file${files++}`): string {
  writeFileSync(join(folder, name), bytes);
  return join(folder, name);
}
function idx(code: number, shape: number[], elements: Uint8Array): Buffer {
  const header = Buffer.alloc(4 + 4 * shape.length);
  header.set([0, 0, code, shape.length]);
  for (const [axis, extent] of shape.entries()) header.writeUInt32BE(extent, 4 + 4 * axis);
  return Buffer.concat([header, elements]);
}
const bytes = (count: number, seed = 1) => {
  const generator = new Generator(seed);
  return Uint8Array.from({ length: count }, () => generator.below(256));
};

test('IDX arrays of every type, plain and compressed', async (t) => {
  const doubles = Buffer.alloc(16);
  doubles.writeDoubleBE(-1.5);
  doubles.writeDoubleBE(2 ** 70, 8);
  const floats = Buffer.alloc(8);
  floats.writeFloatBE(0.25);
  floats.writeFloatBE(-3, 4);
  const cases: [number, number[], Uint8Array, ArrayLike<number>][] = [
    [0x08, [2, 3], Uint8Array.of(1, 2, 3, 4, 5, 255), Uint8Array.of(1, 2, 3, 4, 5, 255)],
    [0x09, [2], Uint8Array.of(255, 1), Int8Array.of(-1, 1)],
    [0x0b, [1, 1, 2], Uint8Array.of(255, 254, 1, 0), Int16Array.of(-2, 256)],
    [0x0c, [2], Uint8Array.of(0, 0, 1, 0, 255, 255, 255, 255), Int32Array.of(256, -1)],
    [0x0d, [2], floats, Float32Array.of(0.25, -3)],
    [0x0e, [2], doubles, Float64Array.of(-1.5, 2 ** 70)],
  ];
  for (const [code, shape, elements, data] of cases) {
    const file = idx(code, shape, elements);
    t.deepEqual(await readIdx(write(file)), { shape, data: data as Uint8Array });
    t.deepEqual(await readIdx(write(gzipSync(file))), { shape, data: data as Uint8Array });
  }
});

test('broken IDX files say what is wrong and where', async (t) => {
  const good = idx(0x08, [2, 3, 4], bytes(24));
  const broken = (file: Uint8Array, message: RegExp) =>
    rejectsCode(t, 'INVALID_FILE', readIdx(write(file)), message);
  await broken(good.subarray(0, 3), /byte 3: the file ends inside of its header/);
  await broken(good.subarray(0, 15), /byte 15: the file ends inside of its header of 16 bytes/);
  await broken(good.subarray(0, 39), /byte 39: the contents end here, the header says at 40/);
  await broken(Buffer.concat([good, Buffer.alloc(1)]), /byte 40: the contents go on/);
  await broken(Buffer.from('PNG and more'), /byte 0: not an IDX file/);
  await broken(idx(0x07, [1], bytes(1)), /byte 2: element type 0x07, known are 0x08/);
  await broken(idx(0x08, [], bytes(1)), /byte 3: an array without dimensions/);
  await broken(idx(0x08, [4, 0], bytes(0)), /byte 8: dimension 1 is 0/);
  const lie = idx(0x08, [0xffffffff, 0xffffffff, 0xffffffff], bytes(9));
  await broken(lie, /byte 25: the contents end here, the header says at 7\.9/);
  await broken(gzipSync(lie), /byte \d+: the contents end here/);
  await broken(gzipSync(good).subarray(0, 30), /byte \d+: the gzip data is broken: unexpected end of file/);
  await broken(gzipSync(Buffer.concat([good, Buffer.alloc(1 << 24)])), /byte 40: the contents go on/);
  await rejectsCode(t, 'INVALID_FILE', readIdx(join(folder, 'nowhere')), /nowhere: ENOENT/);
});

/** A small dataset of the MNIST family in a folder of its own. */
function mnistFolder(images: Uint8Array, labels: Uint8Array): string {
  const own = mkdtempSync(join(folder, 'mnist-'));
  writeFileSync(join(own, 'train-images-idx3-ubyte'), images);
  writeFileSync(join(own, 'train-labels-idx1-ubyte.gz'), gzipSync(labels));
  return own;
}

test('the MNIST family', async (t) => {
  const images = bytes(5 * 6 * 7);
  const own = mnistFolder(idx(8, [5, 6, 7], images), idx(8, [5], Uint8Array.of(0, 9, 1, 2, 3)));
  const data = await fashionMnist(own, 'train');
  t.deepEqual([data.length, data.shape, data.classes[9]], [5, [5, 1, 6, 7], 'Ankle boot']);
  t.deepEqual(data.get(1), {
    image: { data: images.subarray(42, 84), channels: 1, height: 6, width: 7 },
    label: 9,
  });
  t.is((await mnist(own, 'train')).classes[3], '3');
  await rejectsCode(t, 'INVALID_FILE', mnist(own, 'test'), /t10k-images-idx3-ubyte/);
  await rejectsCode(t, 'INVALID_ARGUMENT', mnist(own, 'validation' as 'test'), /part is 'train' or 'test'/);
  const reject = (first: Uint8Array, second: Uint8Array, message: RegExp, classes?: string[]) =>
    rejectsCode(
      t,
      'INVALID_FILE',
      mnist(mnistFolder(first, second), 'train', { ...(classes && { classes }) }),
      message,
    );
  await reject(idx(8, [5, 6], bytes(30)), idx(8, [5], bytes(5)), /\[5,6\] is no array of images/);
  await reject(idx(8, [1, 1, 1], bytes(1)), idx(9, [1], bytes(1)), /is no array of labels/);
  await reject(idx(8, [1, 1, 1], bytes(1)), idx(8, [2], bytes(2)), /byte 4: 2 labels for 1 images/);
  await reject(
    idx(8, [3, 1, 1], bytes(3)),
    idx(8, [3], Uint8Array.of(0, 1, 2)),
    /byte 10: label 2, 2 classes/,
    ['cat', 'dog'],
  );
});

const record = (label: number, seed: number) => Buffer.concat([Buffer.of(label), bytes(3072, seed)]);

test('CIFAR-10', async (t) => {
  const own = join(folder, 'cifar');
  mkdirSync(own);
  for (let batch = 1; batch <= 5; batch++)
    writeFileSync(
      join(own, `data_batch_${batch}.bin`),
      Buffer.concat([record(batch, batch), record(9, 100 + batch)]),
    );
  const data = await cifar10(own, 'train');
  t.deepEqual([data.length, data.shape], [10, [10, 3, 32, 32]]);
  t.deepEqual([...data.labels], [1, 9, 2, 9, 3, 9, 4, 9, 5, 9]);
  t.deepEqual(data.get(6).image.data, bytes(3072, 4));
  t.is(data.classes[data.get(1).label], 'truck');
  await rejectsCode(t, 'INVALID_FILE', cifar10(own, 'test'), /test_batch\.bin: ENOENT/);
  await rejectsCode(t, 'INVALID_ARGUMENT', cifar10(own, 'all' as 'test'), /part is/);
  const broken = (file: Uint8Array, message: RegExp) =>
    rejectsCode(t, 'INVALID_FILE', readCifar10([write(file)]), message);
  await broken(record(1, 1).subarray(0, 3000), /byte 3000: the file ends inside of a record/);
  await broken(new Uint8Array(0), /byte 0: the file ends inside of a record/);
  await broken(Buffer.concat([record(0, 1), record(10, 2)]), /byte 3073: label 10 of image 1/);
});

/** Thousands of mutations: each is read, or it is an INVALID_FILE; nothing else, and quickly. */
async function fuzz(
  t: ExecutionContext,
  good: Uint8Array,
  rounds: number,
  run: (path: string) => Promise<unknown>,
): Promise<void> {
  const path = join(folder, `fuzz${files++}`);
  let rejected = 0;
  for (let round = 0; round < rounds; round++) {
    const random = new Generator(99, [round, 0]);
    const size = random.below(3) === 0 ? random.below(good.length + 1) : good.length;
    const mutated = Buffer.from(good.subarray(0, size));
    for (let flips = random.below(4); flips > 0 && size > 0; flips--) {
      // Half of them in the header, where they hurt most.
      const at = random.below(random.below(2) === 0 ? size : Math.min(size, 24));
      mutated[at] = random.below(4) === 0 ? 255 : mutated[at]! ^ (1 << random.below(8));
    }
    writeFileSync(path, mutated);
    try {
      await run(path);
    } catch (error) {
      rejected++;
      if (!(error instanceof GroupConvError && error.code === 'INVALID_FILE')) {
        t.fail(`round ${round}: ${error}`);
        return;
      }
    }
  }
  t.true(rejected > rounds / 4 && rejected < rounds, `${rejected} of ${rounds} rejected`);
}

test('IDX files, fuzzed', (t) => fuzz(t, idx(0x0b, [3, 4, 5], bytes(120)), 2000, readIdx));
test('compressed IDX files, fuzzed', (t) =>
  fuzz(t, gzipSync(idx(0x08, [30, 4, 5], Buffer.alloc(600))), 1000, readIdx));
test('CIFAR-10 files, fuzzed', (t) =>
  fuzz(t, Buffer.concat([record(3, 1), record(4, 2)]), 500, (path) => readCifar10([path])));

test('all classes have names', (t) => t.is(new Set(FASHION_MNIST_CLASSES).size, 10));
