import { Module } from '../module.js';
import { Hardswish } from '../modules/activation.js';
import { runChain } from '../modules/chain.js';
import { convNormActivation, type Layers } from '../modules/convNormActivation.js';
import { Dropout } from '../modules/dropout.js';
import { InvertedResidual } from '../modules/invertedResidual.js';
import { Linear } from '../modules/linear.js';
import { AdaptiveAvgPool2d } from '../modules/pool.js';
import { Sequential, stepsOf } from '../modules/sequential.js';
import { flatten } from '../ops/reshape.js';
import { withDefaults } from '../options.js';
import { scope } from '../scope.js';
import type { Tensor2D, Tensor4D } from '../tensor.js';
import {
  checkWidthMultiplier,
  divisibleBy8,
  type MobileNetDropoutOptions,
  mobileNetDropoutDefaults,
} from './mobilenetOptions.js';

/** A block: its columns in tables 1 and 2 of the paper. */
type Row = readonly [
  kernelSize: number,
  expandedChannels: number,
  outChannels: number,
  squeezes: boolean,
  activation: 'relu' | 'hardswish',
  stride: number,
];

const STEM_CHANNELS = 16;

const large: readonly Row[] = [
  [3, 16, 16, false, 'relu', 1],
  [3, 64, 24, false, 'relu', 2],
  [3, 72, 24, false, 'relu', 1],
  [5, 72, 40, true, 'relu', 2],
  [5, 120, 40, true, 'relu', 1],
  [5, 120, 40, true, 'relu', 1],
  [3, 240, 80, false, 'hardswish', 2],
  [3, 200, 80, false, 'hardswish', 1],
  [3, 184, 80, false, 'hardswish', 1],
  [3, 184, 80, false, 'hardswish', 1],
  [3, 480, 112, true, 'hardswish', 1],
  [3, 672, 112, true, 'hardswish', 1],
  [5, 672, 160, true, 'hardswish', 2],
  [5, 960, 160, true, 'hardswish', 1],
  [5, 960, 160, true, 'hardswish', 1],
];

const small: readonly Row[] = [
  [3, 16, 16, true, 'relu', 2],
  [3, 72, 24, false, 'relu', 2],
  [3, 88, 24, false, 'relu', 1],
  [5, 96, 40, true, 'hardswish', 2],
  [5, 240, 40, true, 'hardswish', 1],
  [5, 240, 40, true, 'hardswish', 1],
  [5, 120, 48, true, 'hardswish', 1],
  [5, 144, 48, true, 'hardswish', 1],
  [5, 288, 96, true, 'hardswish', 2],
  [5, 576, 96, true, 'hardswish', 1],
  [5, 576, 96, true, 'hardswish', 1],
];

/** The blocks, and the width of the classifier's hidden layer. */
const versions = {
  mobilenet_v3_large: { rows: large, hiddenFeatures: 1280 },
  mobilenet_v3_small: { rows: small, hiddenFeatures: 1024 },
};

/**
 * MobileNetV3 (Howard et al. 2019), with torchvision's keys: `features` (a 3x3 convolution, {@link InvertedResidual}s,
 * a 1x1 convolution), global average pool, `classifier` (linear, hardswish, dropout, linear).
 */
export class MobileNetV3 extends Module<Tensor4D, Tensor2D> {
  readonly features: Layers;
  readonly gap: AdaptiveAvgPool2d;
  /** From pooled features to logits. Another module may take its place: an `Identity` leaves the features. */
  classifier: Module;

  /** @throws INVALID_ARGUMENT */
  constructor(
    version: keyof typeof versions,
    widthMultiplier: number,
    options: MobileNetDropoutOptions = {},
  ) {
    super();
    checkWidthMultiplier(version, widthMultiplier);
    const { inChannels, numClasses, dropout } = withDefaults(version, options, mobileNetDropoutDefaults);
    const drop = new Dropout(dropout);
    const { rows, hiddenFeatures } = versions[version];
    const scaled = (channels: number) => divisibleBy8(channels * widthMultiplier);
    const norm = { eps: 1e-3, momentum: 0.01 };
    let channels = scaled(STEM_CHANNELS);
    const features: Module[] = [
      convNormActivation(inChannels, channels, 3, { stride: 2, norm, activation: 'hardswish' }),
    ];
    for (const [kernelSize, expanded, out, squeezes, activation, stride] of rows) {
      const [expandedChannels, outChannels] = [scaled(expanded), scaled(out)];
      const squeezeChannels = squeezes ? divisibleBy8(Math.floor(expandedChannels / 4)) : null;
      const block = { expandedChannels, kernelSize, stride, squeezeChannels, activation, norm };
      features.push(new InvertedResidual(channels, outChannels, block));
      channels = outChannels;
    }
    const last = 6 * channels;
    features.push(convNormActivation(channels, last, 1, { norm, activation: 'hardswish' }));
    this.features = new Sequential<Tensor4D, Tensor4D>(...features);
    this.gap = new AdaptiveAvgPool2d(1);
    const hidden = scaled(hiddenFeatures);
    this.classifier = new Sequential<Tensor2D, Tensor2D>(
      new Linear(last, hidden),
      new Hardswish(),
      drop,
      new Linear(hidden, numClasses),
    );
  }

  /** [N, inChannels, H, W] to logits [N, numClasses]. @throws INVALID_SHAPE, DISPOSED, UNSUPPORTED */
  override forward(x: Tensor4D): Tensor2D {
    const chain = stepsOf([this.features, this.gap]);
    return scope(() => this.classifier.forward(flatten(runChain(chain, x))) as Tensor2D);
  }
}

/**
 * MobileNetV3-Large as torchvision's: 5,483,032 parameters. Every number of channels is multiplied by
 * `widthMultiplier`, 1 by default, and rounded to a multiple of 8.
 * @throws INVALID_ARGUMENT
 */
export function mobilenet_v3_large(widthMultiplier = 1, options: MobileNetDropoutOptions = {}): MobileNetV3 {
  return new MobileNetV3('mobilenet_v3_large', widthMultiplier, options);
}

/** MobileNetV3-Small as torchvision's: 2,542,856 parameters. Otherwise as {@link mobilenet_v3_large}. */
export function mobilenet_v3_small(widthMultiplier = 1, options: MobileNetDropoutOptions = {}): MobileNetV3 {
  return new MobileNetV3('mobilenet_v3_small', widthMultiplier, options);
}
