import { takeRandom } from '../random.js';

/** The low and the high 32 bits of a product of two 32-bit numbers. */
const low = (a: number, b: number) => Math.imul(a, b) >>> 0;
function high(a: number, b: number): number {
  const carry = Math.floor((a * (b & 0xffff)) / 0x10000);
  return Math.floor((a * (b >>> 16) + carry) / 0x10000); // every term is below 2^49: exact
}

/**
 * Random numbers that depend on a seed, a stream and their position alone: Philox 4x32-10 (Salmon, Moraes, Dror, Shaw
 * 2011), the generator of `rand`, whose sequence is stream (0, 0). A sample's stream is its epoch and its index, so
 * that the order in which samples are prepared changes nothing.
 */
export class Generator {
  #position = 0;
  #block: [number, number, number, number] = [0, 0, 0, 0];

  /**
   * @param seed a whole number from 0 to 2^53 - 1
   * @param stream two whole numbers from 0 to 2^32 - 1
   */
  constructor(
    readonly seed: number,
    readonly stream: readonly [number, number] = [0, 0],
  ) {}

  /** The next whole number from 0 to 2^32 - 1. */
  word(): number {
    const word = this.#position % 4;
    if (word === 0) this.#fill(Math.floor(this.#position / 4));
    this.#position++;
    return this.#block[word] as number;
  }
  /** The next number in [0, 1), a multiple of 2^-24. */
  uniform(): number {
    return (this.word() >>> 8) * 2 ** -24;
  }
  /** A whole number from 0 to `count` - 1, each as likely; count is at most 2^32. */
  below(count: number): number {
    const fair = 2 ** 32 - (2 ** 32 % count); // words from here on would favour small remainders
    for (;;) {
      const word = this.word();
      if (word < fair) return word % count;
    }
  }

  #fill(position: number): void {
    let [a, b, c, d] = [position >>> 0, Math.floor(position / 2 ** 32), ...this.stream];
    let [left, right] = [this.seed >>> 0, Math.floor(this.seed / 2 ** 32)];
    for (let round = 0; round < 10; round++) {
      [a, b, c, d] = [
        (high(0xcd9e8d57, c) ^ b ^ left) >>> 0,
        low(0xcd9e8d57, c),
        (high(0xd2511f53, a) ^ d ^ right) >>> 0,
        low(0xd2511f53, a),
      ];
      left = (left + 0x9e3779b9) >>> 0;
      right = (right + 0xbb67ae85) >>> 0;
    }
    this.#block = [a, b, c, d];
  }
}

/** A seed taken from the generator that `manualSeed` seeds. */
export function takeSeed(): number {
  const [seed, offset] = takeRandom(1);
  const generator = new Generator(seed, [offset >>> 0, 0x5eed]);
  return generator.word() * 2 ** 21 + (generator.word() >>> 11);
}

/** The numbers from 0 to `length` - 1 in random order (Fisher and Yates). */
export function permutation(length: number, generator: Generator): Uint32Array {
  const order = Uint32Array.from({ length }, (_, i) => i);
  for (let i = length - 1; i > 0; i--) {
    const j = generator.below(i + 1);
    [order[i], order[j]] = [order[j] as number, order[i] as number];
  }
  return order;
}
