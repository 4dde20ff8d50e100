import {
  AdaptiveAvgPool2d,
  BatchNorm2d,
  Bottleneck,
  type Classifier,
  Conv2d,
  equivalentWidth,
  Flatten,
  Linear,
  ReLU,
  Sequential,
  type Tensor2D,
  type Tensor4D,
} from '../../lib/index.js';

/** What is compared. */
export interface Variant {
  readonly cardinality: number;
  readonly residual: boolean;
}

export const CARDINALITIES = [1, 2, 4, 8, 16] as const;

const STEM = 32;
/** Output channels of each stage, and the width of its blocks at cardinality 1: a quarter, as in the paper. */
const STAGES = [
  { channels: 64, width: 16 },
  { channels: 128, width: 32 },
] as const;
const BLOCKS = 3; // of each stage

/** The width of one branch, in each stage, with which a block has as many parameters as at cardinality 1. */
export function branchWidths(cardinality: number): number[] {
  return STAGES.map(({ channels, width }) =>
    equivalentWidth(cardinality, { channels, reference: { cardinality: 1, width } }),
  );
}

/**
 * A network for 28 x 28 grey images: a 3x3 stem, two stages of three blocks at 14 x 14 and 7 x 7, pool, classifier. All
 * variants have the same depth, the same channels between blocks, and (nearly) the same number of parameters.
 */
export function makeNetwork({ cardinality, residual }: Variant): Classifier {
  const widths = branchWidths(cardinality);
  let inChannels: number = STEM;
  const blocks = STAGES.flatMap(({ channels }, stage) =>
    Array.from({ length: BLOCKS }, (_, i) => {
      const width = cardinality * (widths[stage] as number);
      const block = new Bottleneck(inChannels, width, {
        cardinality,
        expansion: channels / width,
        stride: i === 0 ? 2 : 1,
        projection: i === 0 && residual,
        projectionBias: false,
        residual,
      });
      inChannels = channels;
      return block;
    }),
  );
  return new Sequential<Tensor4D, Tensor2D>(
    new Conv2d(1, STEM, 3, { padding: 1, bias: false }),
    new BatchNorm2d(STEM),
    new ReLU(),
    ...blocks,
    new AdaptiveAvgPool2d(1),
    new Flatten(),
    new Linear(inChannels, 10),
  );
}
