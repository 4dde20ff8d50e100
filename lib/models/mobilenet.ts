import { Module } from '../module.js';
import { runChain } from '../modules/chain.js';
import { convNormActivation, type Layers } from '../modules/convNormActivation.js';
import { DepthwiseSeparable } from '../modules/depthwiseSeparable.js';
import { Linear } from '../modules/linear.js';
import { AdaptiveAvgPool2d } from '../modules/pool.js';
import { Sequential, stepsOf } from '../modules/sequential.js';
import { flatten } from '../ops/reshape.js';
import { withDefaults } from '../options.js';
import { scope } from '../scope.js';
import type { Tensor2D, Tensor4D } from '../tensor.js';
import { checkWidthMultiplier, type MobileNetOptions, mobileNetDefaults } from './mobilenetOptions.js';

const STEM_CHANNELS = 32;

/** Output channels and stride of each block, table 1 of the paper. */
const table: readonly (readonly [outChannels: number, stride: number])[] = [
  [64, 1],
  [128, 2],
  [128, 1],
  [256, 2],
  [256, 1],
  [512, 2],
  [512, 1],
  [512, 1],
  [512, 1],
  [512, 1],
  [512, 1],
  [1024, 2],
  [1024, 1],
];

/** MobileNet v1 (Howard et al. 2017): a 3x3 convolution, thirteen {@link DepthwiseSeparable}s, pool, classifier. */
export class MobileNetV1 extends Module {
  readonly stem: Layers;
  readonly blocks: Layers;
  readonly gap: AdaptiveAvgPool2d;
  /** From pooled features to logits. Another module may take its place: an `Identity` leaves the features. */
  classifier: Linear;

  /** @throws INVALID_ARGUMENT */
  constructor(widthMultiplier: number, options: MobileNetOptions = {}) {
    super();
    checkWidthMultiplier('mobilenet_v1', widthMultiplier);
    const { inChannels, numClasses } = withDefaults('mobilenet_v1', options, mobileNetDefaults);
    const scaled = (channels: number) => Math.max(8, Math.floor(channels * widthMultiplier));
    let channels = scaled(STEM_CHANNELS);
    this.stem = convNormActivation(inChannels, channels, 3, { stride: 2, activation: 'relu' });
    const blocks = table.map(([outChannels, stride]) => {
      const block = new DepthwiseSeparable(channels, scaled(outChannels), { stride });
      channels = scaled(outChannels);
      return block;
    });
    this.blocks = new Sequential<Tensor4D, Tensor4D>(...blocks);
    this.gap = new AdaptiveAvgPool2d(1);
    this.classifier = new Linear(channels, numClasses);
  }

  /** [N, inChannels, H, W] to logits [N, numClasses]. @throws INVALID_SHAPE, DISPOSED, UNSUPPORTED */
  override forward(x: Tensor4D): Tensor2D {
    const chain = stepsOf([this.stem, this.blocks, this.gap]);
    return scope(() => this.classifier.forward(flatten(runChain(chain, x))));
  }
}

/** MobileNet v1 with every number of channels times `widthMultiplier` (rounded down, at least 8); 1 by default. */
export function mobilenet_v1(widthMultiplier = 1, options: MobileNetOptions = {}): MobileNetV1 {
  return new MobileNetV1(widthMultiplier, options);
}
