import { check, show } from '../errors.js';
import { torchvisionKey } from '../io/torchvision.js';
import { Module, modulesIn } from '../module.js';
import { ReLU } from '../modules/activation.js';
import { BatchNorm2d } from '../modules/batchNorm2d.js';
import { Bottleneck, type BottleneckOptions } from '../modules/bottleneck.js';
import { runChain } from '../modules/chain.js';
import { Conv2d } from '../modules/conv2d.js';
import { Linear } from '../modules/linear.js';
import { AdaptiveAvgPool2d, MaxPool2d } from '../modules/pool.js';
import { Sequential, stepsOf } from '../modules/sequential.js';
import { flatten } from '../ops/reshape.js';
import { checkOptions, withDefaults } from '../options.js';
import { scope } from '../scope.js';
import type { Tensor2D, Tensor4D } from '../tensor.js';

/** A stage: the width of its blocks (all branches together) and their number. */
export type Stage = readonly [width: number, blocks: number];

export interface ResNeXtOptions {
  /** 3 by default. */
  inChannels?: number;
  /** The class of the blocks; Bottleneck by default. */
  block?: typeof Bottleneck;
  /** A block's output channels are width * expansion; 2 by default. */
  expansion?: number;
  /** Branches of a block, 32 by default. */
  cardinality?: number;
  /** [[128, 3], [256, 4], [512, 6], [1024, 3]] by default. Every stage but the first halves the image. */
  blockRepeats?: readonly Stage[];
  /** 1000 by default. */
  numClasses?: number;
  /** Whether every block starts as its shortcut (Goyal et al. 2017, section 5.1); true by default. */
  zeroInitResidual?: boolean;
  /** 'imagenet' (default): 7x7 at stride 2, max pool at stride 2. 'cifar': 3x3 at stride 1, no pool. */
  stem?: 'imagenet' | 'cifar';
  /** Output channels of the first convolution; 64 by default. */
  stemChannels?: number;
  /** Stride of the first stage; 2 by default, 1 in torchvision's networks. */
  firstStride?: number;
  /** Whether the stem's convolution has a bias; true by default. */
  stemBias?: boolean;
  /** Whether the projections' convolutions have a bias; true by default. */
  projectionBias?: boolean;
  /** Whether blocks have shortcuts; true by default. */
  residual?: boolean;
  /** Of the blocks' squeeze-and-excitation, see {@link BottleneckOptions}; null, as by default, for none. */
  squeezeReduction?: number | null;
}

const defaults: Required<ResNeXtOptions> = {
  inChannels: 3,
  block: Bottleneck,
  expansion: 2,
  cardinality: 32,
  blockRepeats: [
    [128, 3],
    [256, 4],
    [512, 6],
    [1024, 3],
  ],
  numClasses: 1000,
  zeroInitResidual: true,
  stem: 'imagenet',
  stemChannels: 64,
  firstStride: 2,
  stemBias: true,
  projectionBias: true,
  residual: true,
  squeezeReduction: null,
};

type Layers = Sequential<Tensor4D, Tensor4D>;

/**
 * ResNeXt (Xie et al. 2017, "Aggregated Residual Transformations for Deep Neural Networks"): a stem, stages of
 * {@link Bottleneck}s, global average pool, linear classifier. Children in order: conv1, conv2_pool (with the ImageNet
 * stem), conv2_blocks, conv3_blocks, … , gap, classifier.
 *
 * `loadStateDict` also takes the keys of torchvision and timm.
 */
export class ResNeXt extends Module {
  declare readonly conv1: Layers;
  declare readonly conv2_pool?: MaxPool2d;
  readonly [stage: `conv${number}_blocks`]: Layers;
  declare readonly gap: AdaptiveAvgPool2d;
  /** From pooled features to logits. Another module may take its place: an `Identity` leaves the features. */
  declare classifier: Linear;

  /** @throws INVALID_ARGUMENT */
  constructor(options: ResNeXtOptions = {}) {
    super();
    const settings = withDefaults('ResNeXt', options, defaults);
    const { inChannels, blockRepeats, numClasses, zeroInitResidual, stem, stemChannels, stemBias, ...rest } =
      settings;
    check(
      stem === 'imagenet' || stem === 'cifar',
      'INVALID_ARGUMENT',
      () => `ResNeXt: stem is 'imagenet' or 'cifar', found ${show(stem)}`,
    );
    check(
      Array.isArray(blockRepeats) && blockRepeats.length > 0,
      'INVALID_ARGUMENT',
      () => `ResNeXt: blockRepeats is a list of [width, blocks], found ${show(blockRepeats)}`,
    );
    // Assigned in order, because the number of stages isn't fixed: fields are children in the order of definition.
    const add = (children: Record<string, Module>) => Object.assign(this, children);
    const first =
      stem === 'imagenet'
        ? new Conv2d(inChannels, stemChannels, 7, { stride: 2, padding: 3, bias: stemBias })
        : new Conv2d(inChannels, stemChannels, 3, { padding: 1, bias: stemBias });
    add({ conv1: new Sequential(first, new BatchNorm2d(stemChannels), new ReLU()) });
    if (stem === 'imagenet') add({ conv2_pool: new MaxPool2d(3, { stride: 2, padding: 1 }) });
    let channels = stemChannels;
    for (const [i, [width, count]] of blockRepeats.entries()) {
      const { block: Block, firstStride, ...blockOptions } = rest;
      const blocks = Array.from({ length: count }, (_, at) => {
        const stride = at > 0 ? 1 : i === 0 ? firstStride : 2;
        const block = new Block(channels, width, { ...blockOptions, stride, projection: at === 0 });
        channels = block.outChannels;
        return block;
      });
      if (zeroInitResidual)
        for (const { lastNorm } of blocks) lastNorm.weight?.set(new Float32Array(lastNorm.numFeatures));
      add({ [`conv${i + 2}_blocks`]: new Sequential(...blocks) });
    }
    add({ gap: new AdaptiveAvgPool2d(1), classifier: new Linear(channels, numClasses) });
  }

  /** [N, inChannels, H, W] to logits [N, numClasses]. @throws INVALID_SHAPE, DISPOSED, UNSUPPORTED */
  override forward(x: Tensor4D): Tensor2D {
    const { classifier } = this;
    const chain = stepsOf(modulesIn(this).filter((child) => child !== classifier));
    return scope(() => classifier.forward(flatten(runChain(chain, x))));
  }

  protected override foreignKey(key: string): string | null {
    return torchvisionKey(key);
  }
}

/** What the named networks leave open. */
export type NetworkOptions = Pick<ResNeXtOptions, 'inChannels' | 'numClasses' | 'zeroInitResidual'>;

/** torchvision's networks have no biases before a BatchNorm and keep the image's size in the first stage. */
const torchvision = { firstStride: 1, stemBias: false, projectionBias: false } as const;
const networkOptions = ['inChannels', 'numClasses', 'zeroInitResidual'];

function network(name: string, table: ResNeXtOptions) {
  return (options: NetworkOptions = {}): ResNeXt => {
    checkOptions(name, options, networkOptions);
    return new ResNeXt({ ...table, ...options });
  };
}

/** ResNeXt-50 32x4d as torchvision's: 25,028,904 parameters, 4.230 G multiply-adds at 224 x 224. */
export const resnext50_32x4d = network('resnext50_32x4d', torchvision);

/** ResNeXt-101 32x8d as torchvision's: 88,791,336 parameters. */
export const resnext101_32x8d = network('resnext101_32x8d', {
  ...torchvision,
  expansion: 1,
  blockRepeats: [
    [256, 3],
    [512, 4],
    [1024, 23],
    [2048, 3],
  ],
});

/** ResNeXt-101 64x4d as torchvision's: 83,455,272 parameters. */
export const resnext101_64x4d = network('resnext101_64x4d', {
  ...torchvision,
  cardinality: 64,
  expansion: 1,
  blockRepeats: [
    [256, 3],
    [512, 4],
    [1024, 23],
    [2048, 3],
  ],
});

/** ResNet-50 as torchvision's (the stride in the 3x3 convolution): 25,557,032 parameters. */
export const resnet50 = network('resnet50', {
  ...torchvision,
  cardinality: 1,
  expansion: 4,
  blockRepeats: [
    [64, 3],
    [128, 4],
    [256, 6],
    [512, 3],
  ],
});

/** SE-ResNeXt-50 32x4d (Hu et al. 2018) as timm's: 27,559,896 parameters. */
export const seresnext50_32x4d = network('seresnext50_32x4d', { ...torchvision, squeezeReduction: 16 });

/** The paper's networks for CIFAR, section 5.3: three stages of three blocks with 256, 512 and 1024 channels out. */
const cifar = { ...torchvision, stem: 'cifar', numClasses: 10 } as const;

/** ResNeXt-29 8x64d for 32 x 32 images (CIFAR-10 by default): 34.4 M parameters. */
export const resnext29_8x64d = network('resnext29_8x64d', {
  ...cifar,
  cardinality: 8,
  expansion: 1 / 2,
  blockRepeats: [
    [512, 3],
    [1024, 3],
    [2048, 3],
  ],
});

/** ResNeXt-29 16x64d for 32 x 32 images (CIFAR-10 by default): 68.1 M parameters. */
export const resnext29_16x64d = network('resnext29_16x64d', {
  ...cifar,
  cardinality: 16,
  expansion: 1 / 4,
  blockRepeats: [
    [1024, 3],
    [2048, 3],
    [4096, 3],
  ],
});
