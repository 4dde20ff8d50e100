import { check } from '../errors.js';
import { count } from '../options.js';

/** How often samples of one class were taken for another. */
export class ConfusionMatrix {
  /** [classes, classes]: row is the label, column the prediction. */
  readonly counts: Uint32Array;

  /** @throws INVALID_ARGUMENT */
  constructor(readonly classes: number) {
    this.counts = new Uint32Array(count('ConfusionMatrix', 'classes', classes) ** 2);
  }

  /** Counts a batch: logits [labels.length, classes]. Goes into `evaluate` as `onBatch`. @throws INVALID_ARGUMENT */
  readonly add = (logits: Float32Array, labels: Int32Array): void => {
    for (const [row, label] of labels.entries()) {
      check(
        label >= 0 && label < this.classes,
        'INVALID_ARGUMENT',
        () => `ConfusionMatrix: label ${label} of sample ${row}, ${this.classes} classes`,
      );
      const own = logits.subarray(row * this.classes, (row + 1) * this.classes);
      const predicted = own.indexOf(own.reduce((most, value) => Math.max(most, value), -Infinity));
      if (predicted >= 0) this.counts[label * this.classes + predicted]!++;
    }
  };

  at(label: number, predicted: number): number {
    return this.counts[label * this.classes + predicted] ?? 0;
  }
  /** The share of a class's samples that were taken for it. */
  recall(label: number): number {
    const row = this.counts.subarray(label * this.classes, (label + 1) * this.classes);
    return this.at(label, label) / row.reduce((sum, one) => sum + one, 0);
  }
}
