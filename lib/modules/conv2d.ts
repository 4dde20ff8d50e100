import { check } from '../errors.js';
import { Module, parameter } from '../module.js';
import type { Conv2dGeometry } from '../native.js';
import { conv2dGeometry, conv2dWith } from '../ops/conv2d.js';
import { checkOptions, count, flag, type Padding, type Pair, pair } from '../options.js';
import type { Tensor1D, Tensor4D } from '../tensor.js';
import { fanIn, kaimingNormal, uniform } from './init.js';

export interface Conv2dModuleOptions {
  stride?: Pair;
  /** Zeros around x: one number, [height, width], or [top, right, bottom, left]. */
  padding?: Padding;
  dilation?: Pair;
  /** Divides inChannels and outChannels. */
  groups?: number;
  /** true by default. */
  bias?: boolean;
}

/**
 * Grouped 2-D convolution with weight [outChannels, inChannels / groups, R, S] and bias [outChannels], as
 * torch.nn.Conv2d. The weight starts normal with standard deviation sqrt(2 / (outChannels R S)) (He et al. 2015,
 * fan-out), the bias uniform as PyTorch's.
 */
export class Conv2d extends Module {
  readonly weight: Tensor4D;
  readonly bias: Tensor1D | null;
  readonly #geometry: Conv2dGeometry;

  /** @throws INVALID_ARGUMENT when groups doesn't divide the channels, or for an option that isn't one */
  constructor(
    readonly inChannels: number,
    readonly outChannels: number,
    kernelSize: Pair,
    options: Conv2dModuleOptions = {},
  ) {
    super();
    checkOptions('Conv2d', options, ['stride', 'padding', 'dilation', 'groups', 'bias']);
    const { bias = true, ...geometry } = options;
    count('Conv2d', 'inChannels', inChannels);
    count('Conv2d', 'outChannels', outChannels);
    this.#geometry = conv2dGeometry('Conv2d', geometry);
    const groups = geometry.groups ?? 1;
    check(
      inChannels % groups === 0 && outChannels % groups === 0,
      'INVALID_ARGUMENT',
      () => `Conv2d: ${groups} groups don't divide ${inChannels} input and ${outChannels} output channels`,
    );
    const shape = [outChannels, inChannels / groups, ...pair('Conv2d', 'kernelSize', kernelSize, 1)] as const;
    this.weight = parameter(kaimingNormal(shape));
    this.bias = flag('Conv2d', 'bias', bias)
      ? parameter(uniform([outChannels], 1 / Math.sqrt(fanIn(shape))))
      : null;
  }

  /** @internal Stride, dilation, padding and groups as the native side reads them. */
  get geometry(): Conv2dGeometry {
    return this.#geometry;
  }

  /** [N, inChannels, H, W] to [N, outChannels, P, Q], see {@link conv2d}. @throws INVALID_SHAPE, DISPOSED, UNSUPPORTED */
  override forward(x: Tensor4D): Tensor4D {
    return conv2dWith(x, this.weight, this.bias, this.geometry);
  }
}
