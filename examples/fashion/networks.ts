import {
  AdaptiveAvgPool2d,
  BatchNorm2d,
  type Classifier,
  Conv2d,
  DepthwiseSeparable,
  Flatten,
  Linear,
  ReLU,
  ResNeXt,
  type ResNeXtOptions,
  Sequential,
  type Tensor2D,
  type Tensor4D,
} from '../../lib/index.js';

/** What a weights file says of its network (`groupconv.model`): enough to make it again. */
export interface Description {
  readonly name: string;
  readonly options: Readonly<Record<string, unknown>>;
}

/** A network for 28 x 28 grey images and ten classes. */
export interface Network {
  readonly title: string;
  readonly description: Description;
  make(): Classifier;
}

/** Cardinality 8: a block's 3x3 convolution has eight groups of 4, 8 and 16 channels. */
const resnext: ResNeXtOptions = {
  inChannels: 1,
  stem: 'cifar',
  stemChannels: 32,
  firstStride: 2,
  cardinality: 8,
  blockRepeats: [
    [32, 1],
    [64, 2],
    [128, 1],
  ],
  numClasses: 10,
  zeroInitResidual: false, // so few blocks learn faster when all take part from the start
  stemBias: false,
  projectionBias: false,
};

/** Output channels and stride of each block, after a stem of 32 channels. */
const separable: readonly (readonly [channels: number, stride: number])[] = [
  [64, 2],
  [128, 1],
  [128, 2],
  [256, 1],
  [256, 1],
];

function makeSeparable(): Classifier {
  let channels = 32;
  const blocks = separable.map(([out, stride]) => {
    const block = new DepthwiseSeparable(channels, out, { stride });
    channels = out;
    return block;
  });
  return new Sequential<Tensor4D, Tensor2D>(
    new Conv2d(1, 32, 3, { padding: 1, bias: false }),
    new BatchNorm2d(32),
    new ReLU(),
    ...blocks,
    new AdaptiveAvgPool2d(1),
    new Flatten(),
    new Linear(channels, 10),
  );
}

export const networks = {
  resnext: {
    title: 'ResNeXt, cardinality 8',
    description: { name: 'ResNeXt', options: { ...resnext } },
    make: () => new ResNeXt(resnext) as Classifier,
  },
  separable: {
    title: 'Depthwise separable',
    description: { name: 'separable', options: { stem: 32, blocks: separable } },
    make: makeSeparable,
  },
} as const satisfies Record<string, Network>;

export type NetworkName = keyof typeof networks;
