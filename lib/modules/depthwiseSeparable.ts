import type { NonlinearityName } from '../activation.js';
import { check } from '../errors.js';
import type { Module } from '../module.js';
import { checkOptions, count, type Padding, type Pair, pair } from '../options.js';
import type { Tensor4D } from '../tensor.js';
import { activationNamed } from './activation.js';
import { BatchNorm2d } from './batchNorm2d.js';
import { Conv2d } from './conv2d.js';
import { Sequential } from './sequential.js';

export interface DepthwiseSeparableOptions {
  /** 3 by default. */
  kernelSize?: Pair;
  stride?: Pair;
  /** Of the depthwise convolution; by default what keeps H and W at stride 1: dilation * (kernelSize - 1) / 2. */
  padding?: Padding;
  dilation?: Pair;
  /** Outputs of the depthwise convolution for each input channel. */
  channelMultiplier?: number;
  /** Whether a BatchNorm2d follows each convolution; true by default. */
  norm?: boolean;
  /** After each convolution (and its norm), by the name of its function; 'relu' by default, null for none. */
  activation?: NonlinearityName | null;
  /** Whether both convolutions have a bias; where there is no norm by default. */
  bias?: boolean;
}

const known = [
  'kernelSize',
  'stride',
  'padding',
  'dilation',
  'channelMultiplier',
  'norm',
  'activation',
  'bias',
] as const satisfies (keyof DepthwiseSeparableOptions)[];

/** @throws INVALID_ARGUMENT where an even kernel has no padding that keeps the size */
function samePadding(kernelSize: Pair, dilation: Pair): [number, number] {
  const kernel = pair('DepthwiseSeparable', 'kernelSize', kernelSize, 1);
  const spread = pair('DepthwiseSeparable', 'dilation', dilation, 1);
  const total = [spread[0] * (kernel[0] - 1), spread[1] * (kernel[1] - 1)] as const;
  check(
    total[0] % 2 === 0 && total[1] % 2 === 0,
    'INVALID_ARGUMENT',
    () => `DepthwiseSeparable: kernelSize [${kernel}] with dilation [${spread}] needs a padding of its own`,
  );
  return [total[0] / 2, total[1] / 2];
}

/**
 * A spatial convolution of each channel by itself, then a 1x1 convolution across channels (Howard et al. 2017,
 * MobileNets): depthwise, norm, activation, pointwise, norm, activation.
 */
export class DepthwiseSeparable extends Sequential<Tensor4D, Tensor4D> {
  declare readonly depthwise: Conv2d;
  declare readonly depthwise_norm?: BatchNorm2d;
  declare readonly depthwise_activation?: Module;
  declare readonly pointwise: Conv2d;
  declare readonly pointwise_norm?: BatchNorm2d;
  declare readonly pointwise_activation?: Module;

  /** @throws INVALID_ARGUMENT */
  constructor(inChannels: number, outChannels: number, options: DepthwiseSeparableOptions = {}) {
    checkOptions('DepthwiseSeparable', options, known);
    const {
      kernelSize = 3,
      stride = 1,
      dilation = 1,
      channelMultiplier = 1,
      norm = true,
      activation = 'relu',
    } = options;
    const { padding = samePadding(kernelSize, dilation), bias = !norm } = options;
    const Activation = activation && activationNamed('DepthwiseSeparable', 'activation', activation);
    const between = count('DepthwiseSeparable', 'channelMultiplier', channelMultiplier) * inChannels;
    const depthwise = { stride, padding, dilation, groups: inChannels, bias };
    const after = (name: string, channels: number): Record<string, Module> => ({
      ...(norm && { [`${name}_norm`]: new BatchNorm2d(channels) }),
      ...(Activation && { [`${name}_activation`]: new Activation() }),
    });
    super({
      depthwise: new Conv2d(inChannels, between, kernelSize, depthwise),
      ...after('depthwise', between),
      pointwise: new Conv2d(between, outChannels, 1, { bias }),
      ...after('pointwise', outChannels),
    });
  }
}
