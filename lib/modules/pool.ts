import { Module } from '../module.js';
import {
  type AvgPool2dOptions,
  adaptiveAvgPool2d,
  avgPool2d,
  type MaxPool2dOptions,
  maxPool2d,
} from '../ops/pool.js';
import { checkOptions, type Pair, pair, sides } from '../options.js';
import type { Tensor4D } from '../tensor.js';

function checkWindow(
  name: string,
  kernelSize: Pair,
  options: AvgPool2dOptions,
  known: (keyof AvgPool2dOptions)[],
): void {
  checkOptions(name, options, known);
  pair(name, 'kernelSize', kernelSize, 1);
  if (options.stride !== undefined) pair(name, 'stride', options.stride, 1);
  if (options.padding !== undefined) sides(name, options.padding);
}

/** The largest value of each window, as torch.nn.MaxPool2d; see {@link maxPool2d}. */
export class MaxPool2d extends Module {
  readonly options: Readonly<MaxPool2dOptions>;

  /** @throws INVALID_ARGUMENT */
  constructor(
    readonly kernelSize: Pair,
    options: MaxPool2dOptions = {},
  ) {
    super();
    checkWindow('MaxPool2d', kernelSize, options, ['stride', 'padding']);
    this.options = { ...options };
  }

  /** [N, C, H, W] to [N, C, P, Q]. @throws INVALID_SHAPE, DISPOSED, UNSUPPORTED */
  override forward(x: Tensor4D): Tensor4D {
    return maxPool2d(x, this.kernelSize, this.options);
  }
}

/** The mean of each window, as torch.nn.AvgPool2d; see {@link avgPool2d}. */
export class AvgPool2d extends Module {
  readonly options: Readonly<AvgPool2dOptions>;

  /** @throws INVALID_ARGUMENT */
  constructor(
    readonly kernelSize: Pair,
    options: AvgPool2dOptions = {},
  ) {
    super();
    checkWindow('AvgPool2d', kernelSize, options, ['stride', 'padding', 'countIncludePad']);
    this.options = { ...options };
  }

  /** [N, C, H, W] to [N, C, P, Q]. @throws INVALID_SHAPE, DISPOSED, UNSUPPORTED */
  override forward(x: Tensor4D): Tensor4D {
    return avgPool2d(x, this.kernelSize, this.options);
  }
}

/** Means over windows that divide the image into outputSize parts, as torch.nn.AdaptiveAvgPool2d. */
export class AdaptiveAvgPool2d extends Module {
  /** @throws INVALID_ARGUMENT */
  constructor(readonly outputSize: Pair) {
    super();
    pair('AdaptiveAvgPool2d', 'outputSize', outputSize, 1);
  }

  /** [N, C, H, W] to [N, C, ...outputSize]. @throws INVALID_SHAPE, DISPOSED, UNSUPPORTED */
  override forward(x: Tensor4D): Tensor4D {
    return adaptiveAvgPool2d(x, this.outputSize);
  }
}
