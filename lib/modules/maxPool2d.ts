import { Module } from '../module.js';
import { type MaxPool2dOptions, maxPool2d } from '../ops/maxPool2d.js';
import { checkOptions, type Pair } from '../options.js';
import type { Tensor4D } from '../tensor.js';

/** The largest value of each window, as torch.nn.MaxPool2d; see {@link maxPool2d}. */
export class MaxPool2d extends Module {
  readonly options: MaxPool2dOptions;

  /** @throws INVALID_ARGUMENT */
  constructor(
    readonly kernelSize: Pair,
    options: MaxPool2dOptions = {},
  ) {
    super();
    checkOptions('MaxPool2d', options, ['stride', 'padding']);
    this.options = { ...options };
  }

  /** [N, C, H, W] to [N, C, P, Q]. @throws INVALID_SHAPE, DISPOSED, UNSUPPORTED */
  override forward(x: Tensor4D): Tensor4D {
    return maxPool2d(x, this.kernelSize, this.options);
  }
}
