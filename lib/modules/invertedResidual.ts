import type { NonlinearityName } from '../activation.js';
import { check } from '../errors.js';
import { Module } from '../module.js';
import { count, withDefaults } from '../options.js';
import type { Tensor4D } from '../tensor.js';
import { activationNamed } from './activation.js';
import type { BatchNorm2dOptions } from './batchNorm2d.js';
import { consuming, runResidual } from './chain.js';
import { convNormActivation, type Layers } from './convNormActivation.js';
import { imagewiseForward } from './depthFirst.js';
import { Identity } from './identity.js';
import { Sequential, stepsOf } from './sequential.js';
import { SqueezeExcitation } from './squeezeExcitation.js';

export interface InvertedResidualOptions {
  /** Channels of the depthwise convolution; 6 inChannels by default. Where they are inChannels, nothing expands. */
  expandedChannels?: number;
  /** Of the depthwise convolution, odd; 3 by default. */
  kernelSize?: number;
  /** Of the depthwise convolution; 1 by default. */
  stride?: number;
  /** Of a {@link SqueezeExcitation} with hardsigmoid after the depthwise convolution; null, as by default, for none. */
  squeezeChannels?: number | null;
  /** After the expansion and the depthwise convolution, by the name of its function; 'relu6' by default. */
  activation?: NonlinearityName;
  /** Of every BatchNorm2d. */
  norm?: BatchNorm2dOptions;
}

const defaults: Required<Omit<InvertedResidualOptions, 'expandedChannels'>> = {
  kernelSize: 3,
  stride: 1,
  squeezeChannels: null,
  activation: 'relu6',
  norm: {},
};

const shortcut = new Identity();

/** What MobileNetV2's and MobileNetV3's blocks have in common; torchvision names their layers differently. */
export abstract class AnyInvertedResidual extends Module<Tensor4D, Tensor4D> {
  /** @param addsInput whether the layers' output has x's shape, and x is added */
  constructor(readonly addsInput: boolean) {
    super();
  }
  /** The residual function; its last module is a BatchNorm2d. */
  protected abstract get layers(): Layers;

  /** [N, inChannels, H, W] to [N, outChannels, P, Q], P = ceil(H / stride). @throws INVALID_SHAPE, DISPOSED */
  override forward(x: Tensor4D): Tensor4D {
    return this.run(x, false);
  }
  /** @internal Given x away, its memory may become the output's. */
  run(x: Tensor4D, given: boolean): Tensor4D {
    return runResidual(stepsOf([this.layers]), this.addsInput ? shortcut : null, null, x, given);
  }
}

imagewiseForward(AnyInvertedResidual);
consuming(AnyInvertedResidual, (block, x) => block.run(x as Tensor4D, true));

/**
 * 1x1 expansion (where there is one), depthwise convolution, squeeze-and-excitation (where there is one), projection.
 * @internal
 */
export function invertedResidualLayers(
  inChannels: number,
  outChannels: number,
  options: InvertedResidualOptions,
): Module[] {
  const expandedByDefault = 6 * count('InvertedResidual', 'inChannels', inChannels);
  const { expandedChannels, kernelSize, stride, squeezeChannels, activation, norm } = withDefaults(
    'InvertedResidual',
    options,
    { ...defaults, expandedChannels: expandedByDefault },
  );
  count('InvertedResidual', 'outChannels', outChannels);
  count('InvertedResidual', 'expandedChannels', expandedChannels);
  count('InvertedResidual', 'stride', stride);
  check(
    count('InvertedResidual', 'kernelSize', kernelSize) % 2 === 1,
    'INVALID_ARGUMENT',
    () => `InvertedResidual: kernelSize is odd, found ${kernelSize}`,
  );
  if (squeezeChannels !== null) count('InvertedResidual', 'squeezeChannels', squeezeChannels);
  activationNamed('InvertedResidual', 'activation', activation);
  const groups = expandedChannels;
  return [
    ...(expandedChannels === inChannels
      ? []
      : [convNormActivation(inChannels, expandedChannels, 1, { norm, activation })]),
    convNormActivation(expandedChannels, expandedChannels, kernelSize, { stride, groups, norm, activation }),
    ...(squeezeChannels === null
      ? []
      : [new SqueezeExcitation(expandedChannels, squeezeChannels, { scaleActivation: 'hardsigmoid' })]),
    convNormActivation(expandedChannels, outChannels, 1, { norm, activation: null }),
  ];
}

/**
 * The block of MobileNetV2 (Sandler et al. 2018: inverted residual, linear bottleneck) and, with
 * squeeze-and-excitation, of MobileNetV3 (Howard et al. 2019): a 1x1 convolution that expands, a depthwise one, a 1x1
 * one that projects without an activation, each with a BatchNorm2d; x is added where stride is 1 and the channels
 * agree. The layers are in `block`, as in torchvision's MobileNetV3.
 */
export class InvertedResidual extends AnyInvertedResidual {
  readonly block: Layers;

  /** @throws INVALID_ARGUMENT */
  constructor(inChannels: number, outChannels: number, options: InvertedResidualOptions = {}) {
    super(inChannels === outChannels && (options?.stride ?? 1) === 1);
    this.block = new Sequential<Tensor4D, Tensor4D>(
      ...invertedResidualLayers(inChannels, outChannels, options),
    );
  }
  protected override get layers(): Layers {
    return this.block;
  }
}
