import test from 'ava';
import { permutation } from '../../lib/data/generator.js';
import { Generator, manualSeed, rand } from '../../lib/index.js';

for (const seed of [0, 7, 2 ** 53 - 1, 0x1_2345_6789])
  test(`stream (0, 0) of seed ${seed} is the sequence of rand`, (t) => {
    manualSeed(seed);
    const numbers = rand([1000]).dataSync();
    const generator = new Generator(seed);
    t.deepEqual(
      numbers,
      Float32Array.from(numbers, () => generator.uniform()),
    );
  });

test('streams and seeds differ, and repeat', (t) => {
  const words = (seed: number, stream: [number, number]) => {
    const generator = new Generator(seed, stream);
    return Array.from({ length: 16 }, () => generator.word()).join();
  };
  const all = [0, 1, 2].flatMap((seed) =>
    [0, 1, 2].flatMap((a) => [0, 1, 2].map((b) => words(seed, [a, b]))),
  );
  t.is(new Set(all).size, 27);
  t.is(words(1, [2, 1]), words(1, [2, 1]));
});

test('below is fair', (t) => {
  const generator = new Generator(3);
  const counts = [0, 0, 0, 0, 0, 0, 0];
  for (let i = 0; i < 70_000; i++) counts[generator.below(7)]!++;
  const chiSquared = counts.reduce((sum, count) => sum + (count - 10_000) ** 2 / 10_000, 0);
  t.true(chiSquared < 25, `chi squared ${chiSquared} with 6 degrees of freedom`);
  t.is(generator.below(1), 0);
});

test('permutations hold every number once and all orders are as likely', (t) => {
  const orders = new Map<string, number>();
  const generator = new Generator(5);
  for (let i = 0; i < 6000; i++) {
    const order = permutation(3, generator);
    t.deepEqual([...order].sort(), [0, 1, 2]);
    orders.set(order.join(), (orders.get(order.join()) ?? 0) + 1);
  }
  t.is(orders.size, 6);
  for (const count of orders.values()) t.true(Math.abs(count - 1000) < 150, `${count} of 6000`);
});
