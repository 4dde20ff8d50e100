import type { ArrayDataset } from '../../lib/index.js';
import type { Prediction } from './page.js';

/** Gathers predictions, batch after batch in the dataset's order, and picks those worth showing. */
export class Predictions {
  readonly #all: (Omit<Prediction, 'pixels'> & { index: number })[] = [];

  constructor(readonly data: ArrayDataset) {}

  /** Logits [labels.length, classes] of the next samples. */
  add(logits: Float32Array, labels: Int32Array): void {
    const classes = logits.length / labels.length;
    for (const [row, label] of labels.entries()) {
      const own = logits.subarray(row * classes, (row + 1) * classes);
      const most = own.reduce((a, b) => Math.max(a, b), -Infinity);
      const sum = own.reduce((total, value) => total + Math.exp(value - most), 0);
      this.#all.push({ index: this.#all.length, label, predicted: own.indexOf(most), probability: 1 / sum });
    }
  }

  /** The share of the first `count` samples that are right. */
  accuracy(count: number): number {
    const first = this.#all.slice(0, count);
    return first.filter(({ label, predicted }) => label === predicted).length / first.length;
  }

  /** The first `count` samples, then as many mistakes, the surest first. */
  shown(count: number): Prediction[] {
    const mistakes = this.#all
      .filter(({ label, predicted }) => label !== predicted)
      .sort((a, b) => b.probability - a.probability);
    return [...this.#all.slice(0, count), ...mistakes.slice(0, count)].map(({ index, ...rest }) => ({
      ...rest,
      pixels: this.data.get(index).image.data as Uint8Array,
    }));
  }
}
