import { check, show } from '../errors.js';
import { Module } from '../module.js';
import { dropout } from '../ops/dropout.js';
import type { Shape, Tensor } from '../tensor.js';

/**
 * Zeroes elements at random in training and scales the others by 1 / (1 - p), as torch.nn.Dropout; returns its input
 * in evaluation.
 */
export class Dropout extends Module {
  /** @param p the probability of zero, from 0 to 1 @throws INVALID_ARGUMENT */
  constructor(readonly p = 0.5) {
    super();
    check(p >= 0 && p <= 1, 'INVALID_ARGUMENT', () => `Dropout: p is a probability, found ${show(p)}`);
  }

  /** @throws DISPOSED, UNSUPPORTED */
  override forward<S extends Shape>(x: Tensor<S>): Tensor<S> {
    return this.training ? dropout(x, { p: this.p }) : x;
  }
}
