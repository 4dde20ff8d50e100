import { check } from '../errors.js';
import { count } from '../options.js';

/**
 * A number for every sample, summed over a batch; what is reported is the mean over all samples.
 * @param logits [labels.length, classes], row-major
 */
export type Metric = (logits: Float32Array, labels: Int32Array, classes: number) => number;

/** Metrics by the names under which they are reported. */
export type Metrics = Readonly<Record<string, Metric>>;

/** The loss and the metrics, each the mean over the samples. */
export type Scores = { loss: number } & Record<string, number>;

/** The share of samples whose class is among the k with the largest logits; of equal logits the first count. */
export function topK(k: number): Metric {
  count('topK', 'k', k);
  return (logits, labels, classes) => {
    let hits = 0;
    for (const [row, label] of labels.entries()) {
      const begin = row * classes;
      const own = logits[begin + label] as number;
      let before = 0;
      for (let c = 0; c < classes; c++) {
        const other = logits[begin + c] as number;
        if (other > own || (other === own && c < label)) before++;
      }
      if (before < k && !Number.isNaN(own)) hits++;
    }
    return hits;
  };
}

/** The share of samples whose class has the largest logit. */
export const accuracy: Metric = topK(1);

/** Adds up what batches score. @internal */
export class Tally {
  #samples = 0;
  #loss = 0;
  readonly #sums: Map<string, number>;

  constructor(readonly metrics: Metrics) {
    this.#sums = new Map(Object.keys(metrics).map((name) => [name, 0]));
  }

  /** A batch's mean loss and its logits [labels.length, classes]. */
  add(labels: Int32Array, loss: number, logits: Float32Array): void {
    const samples = labels.length;
    this.#samples += samples;
    this.#loss += loss * samples;
    for (const [name, metric] of Object.entries(this.metrics)) {
      const before = this.#sums.get(name) as number;
      this.#sums.set(name, before + metric(logits, labels, logits.length / samples));
    }
  }
  get scores(): Scores {
    const mean = (sum: number) => sum / this.#samples;
    const named = [...this.#sums].map(([name, sum]): [string, number] => [name, mean(sum)]);
    return { loss: mean(this.#loss), ...Object.fromEntries(named) };
  }
}

/** @internal @throws INVALID_ARGUMENT for metrics that aren't functions or are called `loss` */
export function checkMetrics(name: string, metrics: Metrics): void {
  for (const [key, metric] of Object.entries(metrics))
    check(
      typeof metric === 'function' && key !== 'loss',
      'INVALID_ARGUMENT',
      () => `${name}: metric ${key} is ${key === 'loss' ? 'the name of the loss' : 'not a function'}`,
    );
}
