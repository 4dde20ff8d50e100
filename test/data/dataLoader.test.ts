import test from 'ava';
import {
  ArrayDataset,
  compose,
  DataLoader,
  type Dataset,
  manualSeed,
  memory,
  normalize,
  randomCrop,
  randomHorizontalFlip,
  subset,
} from '../../lib/index.js';
import { rejectsCode, throwsCode } from '../helpers/errors.js';
import { settled } from '../helpers/memory.js';

test.serial.beforeEach(settled); // what earlier tests forgot is not to vanish while memory is compared

const COUNT = 10;
const pixels = Uint8Array.from({ length: COUNT * 2 * 3 * 3 }, (_, i) => (i * 37) % 256);
const labels = Uint8Array.from({ length: COUNT }, (_, i) => i % 3);
const data = new ArrayDataset(pixels, [COUNT, 2, 3, 3], labels, ['a', 'b', 'c']);
const augment = compose(
  randomCrop(3, { padding: 1 }),
  randomHorizontalFlip(),
  normalize([0.5, 0.4], [0.2, 0.3]),
);

/** Everything that one epoch gives. */
async function epoch(loader: DataLoader) {
  const batches: { shape: readonly number[]; images: number[]; labels: number[]; indices: number[] }[] = [];
  for await (const { images, labels: classes, labelValues, indices } of loader) {
    const found = [...(await classes.data())];
    if (found.join() !== labelValues.join()) throw new Error('labels differ');
    batches.push({
      shape: images.shape,
      images: [...(await images.data())],
      labels: found,
      indices: [...indices],
    });
  }
  return batches;
}
const order = (batches: { indices: number[] }[]) => batches.flatMap(({ indices }) => indices);

test('batches in order, the last one smaller', async (t) => {
  const loader = new DataLoader(data, { batchSize: 4 });
  const batches = await epoch(loader);
  t.is(loader.length, 3);
  t.deepEqual(
    batches.map(({ shape }) => shape),
    [
      [4, 2, 3, 3],
      [4, 2, 3, 3],
      [2, 2, 3, 3],
    ],
  );
  t.deepEqual(order(batches), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  t.deepEqual(
    batches.flatMap((batch) => batch.labels),
    [...labels],
  );
  t.deepEqual(
    Float32Array.from(batches.flatMap(({ images }) => images)),
    Float32Array.from(pixels, (byte) => byte / 255),
  );
  const full = new DataLoader(data, { batchSize: 4, dropLast: true });
  t.deepEqual([full.length, full.samples, (await epoch(full)).length], [2, 8, 2]);
});

test('an epoch follows from seed and number alone', async (t) => {
  const make = (seed: number, prefetch = 2) =>
    new DataLoader(data, { batchSize: 3, shuffle: true, seed, prefetch, transform: augment });
  const loader = make(1);
  const [first, second] = [await epoch(loader), await epoch(loader)];
  for (const batches of [first, second]) t.deepEqual(order(batches).sort(), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  t.notDeepEqual(order(first), order(second));
  t.is(loader.epoch, 2);
  const later = make(1, 0); // prepared at another time
  later.loadState({ seed: 1, epoch: 1 });
  t.deepEqual(await epoch(later), second);
  t.notDeepEqual(order(await epoch(make(2))), order(first));
  // What happens to a sample doesn't depend on its place in the order.
  const plain = new DataLoader(data, { batchSize: 10, seed: 1, transform: augment });
  const [batch] = await epoch(plain);
  const size = 18;
  for (const { images, indices } of first)
    for (const [i, index] of indices.entries())
      t.deepEqual(
        images.slice(i * size, (i + 1) * size),
        batch!.images.slice(index * size, (index + 1) * size),
      );
});

test.serial('without a seed it takes one from the generator', (t) => {
  const seedAfter = (seed: number) => {
    manualSeed(seed);
    const seeds = [1, 2].map(() => new DataLoader(data, { batchSize: 1 }).seed);
    return seeds.join();
  };
  t.is(seedAfter(3), seedAfter(3));
  t.not(seedAfter(3), seedAfter(4));
  const [a, b] = seedAfter(5).split(',');
  t.not(a, b);
});

test.serial('a batch lives until the next one is asked for', async (t) => {
  const before = memory().bytes;
  let kept: { disposed: boolean } | undefined;
  for await (const { images } of new DataLoader(data, { batchSize: 4 })) {
    if (kept) t.true(kept.disposed);
    kept = images;
    t.is(memory().bytes - before, 4 * (images.size + images.shape[0]));
  }
  t.is(memory().bytes, before);
  for await (const { images } of new DataLoader(data, { batchSize: 4 })) {
    kept = images;
    break;
  }
  t.true(kept?.disposed);
  t.is(memory().bytes, before);
});

test('slow datasets are asked for a whole batch, and for later ones, at once', async (t) => {
  let running = 0;
  let most = 0;
  const slow: Dataset = {
    length: 8,
    classes: ['a', 'b', 'c'],
    get: async (index) => {
      most = Math.max(most, ++running);
      await new Promise((resolve) => setTimeout(resolve, 5));
      running--;
      return data.get(index);
    },
  };
  const batches = await epoch(new DataLoader(slow, { batchSize: 2, prefetch: 3 }));
  t.deepEqual(order(batches), [0, 1, 2, 3, 4, 5, 6, 7]);
  t.true(most >= 4 && most <= 6, `${most} at the same time`);
});

test('batches are prepared while the consumer waits', async (t) => {
  const asked: number[] = [];
  const watched: Dataset = {
    length: 6,
    classes: data.classes,
    get: (index) => {
      asked.push(index);
      return data.get(index);
    },
  };
  for await (const { indices } of new DataLoader(watched, { batchSize: 1, prefetch: 2 })) {
    // Not by the clock: preparing takes turns of the event loop, and many of these are given.
    for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve));
    t.is(asked.length, Math.min(6, indices[0]! + 3));
  }
});

test('failures of a dataset reach the loop', async (t) => {
  const failing: Dataset = {
    length: 3,
    classes: [],
    get: (index) => {
      if (index === 2) throw new Error('lost');
      return data.get(index);
    },
  };
  let batches = 0;
  const loop = async () => {
    for await (const _ of new DataLoader(failing, { batchSize: 1 })) {
      batches++;
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  };
  await t.throwsAsync(loop(), { message: 'lost' });
  t.is(batches, 2);
});

test('subsets', async (t) => {
  const some = subset(data, [7, 2, 7]);
  t.deepEqual(order(await epoch(new DataLoader(some, { batchSize: 2 }))), [0, 1, 2]);
  t.deepEqual(some.get(0), data.get(7));
  throwsCode(t, 'INVALID_ARGUMENT', () => subset(data, [10]), /sample 10 of 10/);
  throwsCode(t, 'INVALID_ARGUMENT', () => some.get(3));
});

test('wrong calls', async (t) => {
  const make = (options: object) => () => new DataLoader(data, options as { batchSize: number });
  throwsCode(t, 'INVALID_ARGUMENT', make({}), /batchSize is a whole number/);
  throwsCode(t, 'INVALID_ARGUMENT', make({ batchSize: 1, workers: 3 }), /unknown option workers/);
  throwsCode(t, 'INVALID_ARGUMENT', make({ batchSize: 1, seed: -1 }), /seed/);
  throwsCode(
    t,
    'INVALID_ARGUMENT',
    make({ batchSize: 11, dropLast: true }),
    /10 samples make no batch of 11/,
  );
  const loader = new DataLoader(data, { batchSize: 1, seed: 1 });
  throwsCode(
    t,
    'INVALID_ARGUMENT',
    () => loader.loadState({ seed: 2, epoch: 0 }),
    /seed 2, this loader has seed 1/,
  );
  throwsCode(t, 'INVALID_ARGUMENT', () => {
    loader.epoch = -1;
  });
  throwsCode(t, 'INVALID_SHAPE', () => new ArrayDataset(pixels, [9, 2, 3, 3], labels, ['a']));
  throwsCode(
    t,
    'INVALID_ARGUMENT',
    () => new ArrayDataset(pixels, [10, 2, 3, 3], labels, ['a', 'b']),
    /label 2 of sample 2/,
  );
  await rejectsCode(t, 'INVALID_ARGUMENT', (async () => data.get(10))());
});
