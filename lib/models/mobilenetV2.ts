import { Module } from '../module.js';
import { runChain } from '../modules/chain.js';
import { convNormActivation, type Layers } from '../modules/convNormActivation.js';
import { Dropout } from '../modules/dropout.js';
import { AnyInvertedResidual, invertedResidualLayers } from '../modules/invertedResidual.js';
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

/** Expansion, output channels, number of blocks and stride of the first one: table 2 of the paper. */
const table: readonly (readonly [expansion: number, channels: number, blocks: number, stride: number])[] = [
  [1, 16, 1, 1],
  [6, 24, 2, 2],
  [6, 32, 3, 2],
  [6, 64, 4, 2],
  [6, 96, 3, 1],
  [6, 160, 3, 2],
  [6, 320, 1, 1],
];

/** An inverted residual with torchvision's names for MobileNetV2: `conv`, in which the projection's layers are two. */
class MobileNetV2Block extends AnyInvertedResidual {
  readonly conv: Layers;

  constructor(inChannels: number, outChannels: number, expansion: number, stride: number) {
    super(inChannels === outChannels && stride === 1);
    const options = { expandedChannels: inChannels * expansion, stride };
    const modules = invertedResidualLayers(inChannels, outChannels, options);
    const projection = modules.pop() as Layers;
    this.conv = new Sequential<Tensor4D, Tensor4D>(...modules, ...projection);
  }
  protected override get layers(): Layers {
    return this.conv;
  }
}

/**
 * MobileNetV2 (Sandler et al. 2018), with torchvision's keys: `features` (a 3x3 convolution, seventeen inverted
 * residuals, a 1x1 convolution), global average pool, `classifier` (dropout, linear).
 */
export class MobileNetV2 extends Module<Tensor4D, Tensor2D> {
  readonly features: Layers;
  readonly gap: AdaptiveAvgPool2d;
  /** From pooled features to logits. Another module may take its place: an `Identity` leaves the features. */
  classifier: Module;

  /** @throws INVALID_ARGUMENT */
  constructor(widthMultiplier: number, options: MobileNetDropoutOptions = {}) {
    super();
    checkWidthMultiplier('mobilenet_v2', widthMultiplier);
    const { inChannels, numClasses, dropout } = withDefaults(
      'mobilenet_v2',
      options,
      mobileNetDropoutDefaults,
    );
    const drop = new Dropout(dropout);
    let channels = divisibleBy8(32 * widthMultiplier);
    const features: Module[] = [
      convNormActivation(inChannels, channels, 3, { stride: 2, activation: 'relu6' }),
    ];
    for (const [expansion, base, blocks, firstStride] of table)
      for (let i = 0; i < blocks; i++) {
        const outChannels = divisibleBy8(base * widthMultiplier);
        features.push(new MobileNetV2Block(channels, outChannels, expansion, i === 0 ? firstStride : 1));
        channels = outChannels;
      }
    const last = divisibleBy8(1280 * Math.max(1, widthMultiplier));
    features.push(convNormActivation(channels, last, 1, { activation: 'relu6' }));
    this.features = new Sequential<Tensor4D, Tensor4D>(...features);
    this.gap = new AdaptiveAvgPool2d(1);
    this.classifier = new Sequential<Tensor2D, Tensor2D>(drop, new Linear(last, numClasses));
  }

  /** [N, inChannels, H, W] to logits [N, numClasses]. @throws INVALID_SHAPE, DISPOSED, UNSUPPORTED */
  override forward(x: Tensor4D): Tensor2D {
    const chain = stepsOf([this.features, this.gap]);
    return scope(() => this.classifier.forward(flatten(runChain(chain, x))) as Tensor2D);
  }
}

/**
 * MobileNetV2 as torchvision's: 3,504,872 parameters. Every number of channels is multiplied by `widthMultiplier`, 1 by
 * default, and rounded to a multiple of 8 (the last one is 1280 at least).
 * @throws INVALID_ARGUMENT
 */
export function mobilenet_v2(widthMultiplier = 1, options: MobileNetDropoutOptions = {}): MobileNetV2 {
  return new MobileNetV2(widthMultiplier, options);
}
