// The networks that other programs must compute as groupconv does.

import {
  AdaptiveAvgPool2d,
  AvgPool2d,
  adaptiveAvgPool2d,
  add,
  avgPool2d,
  BatchNorm2d,
  Bottleneck,
  batchNorm,
  Conv2d,
  concat,
  conv2d,
  DepthwiseSeparable,
  Dropout,
  Flatten,
  hardsigmoid,
  hardswish,
  Linear,
  linear,
  logSoftmax,
  MaxPool2d,
  Module,
  maxPool2d,
  mobilenet_v1,
  mobilenet_v2,
  mobilenet_v3_large,
  mobilenet_v3_small,
  mul,
  ones,
  ReLU6,
  ResNeXt,
  relu,
  relu6,
  reshape,
  resnext50_32x4d,
  Sequential,
  type Shape,
  scope,
  seresnext50_32x4d,
  sigmoid,
  silu,
  softmax,
  split,
  type Tensor,
  type Tensor4D,
  tensor,
} from '../../lib/index.js';

export interface Network {
  name: string;
  build(): Module;
  /** Of one sample. */
  sample: Shape;
  /** Too much for plain loops. */
  large?: boolean;
}

/** Four-sided padding, dilation, even kernels, groups, a bare BatchNorm, uneven pools: nothing divides anything. */
export class OddNet extends Module {
  readonly stem = new Sequential<Tensor4D, Tensor4D>(
    new Conv2d(3, 10, [3, 2], { stride: [2, 1], padding: [1, 0, 2, 3], dilation: [1, 2] }),
    new BatchNorm2d(10, { affine: false, eps: 1e-3 }),
    new ReLU6(),
    new MaxPool2d([3, 2], { stride: [1, 2], padding: [1, 0, 0, 1] }),
    new Dropout(0.3),
  );
  readonly grouped = new Sequential<Tensor4D, Tensor4D>(
    new Conv2d(10, 15, 4, { padding: [2, 1, 0, 2], groups: 5, bias: false }),
    new BatchNorm2d(15),
    new AvgPool2d([2, 3], { stride: [1, 2], padding: [1, 1, 0, 1], countIncludePad: false }),
  );
  readonly separable = new DepthwiseSeparable(15, 14, {
    kernelSize: [5, 3],
    channelMultiplier: 2,
    activation: 'relu6',
  });
  readonly twice = new Conv2d(7, 7, 1);
  readonly head = new Sequential(new AdaptiveAvgPool2d([3, 2]), new Flatten(), new Linear(14 * 6, 9));

  override forward(x: Tensor4D): Tensor {
    return scope(() => {
      const [left, right] = split(this.separable.forward(this.grouped.forward(this.stem.forward(x))), 7);
      const joined = concat([this.twice.forward(right!), relu(this.twice.forward(left!))]);
      return logSoftmax(this.head.forward(joined as Tensor4D));
    });
  }
}

/** Functions instead of modules, tensors from outside and from within forward, axes of every kind. */
export class FunctionalNet extends Module {
  readonly kernel = new Conv2d(4, 6, 3, { bias: false });
  readonly rows = new Linear(5, 3);
  readonly #scales = [tensor([1, 2, 3, 4, 5, 6].map((v) => v / 6)), tensor([0.5, 0, -0.5, 1, 0.25, -1])];

  override forward(x: Tensor4D): Tensor {
    return scope(() => {
      const y = conv2d(x, relu(this.kernel.weight), { padding: 1 }); // a weight that is computed
      const [runningMean, runningVar] = [ones([6]), tensor([1, 2, 3, 4, 5, 6])];
      const normed = batchNorm(y, {
        weight: this.#scales[0]!,
        bias: this.#scales[1]!,
        runningMean,
        runningVar,
      });
      const pooled = avgPool2d(normed, 2, { stride: 1, padding: 1 });
      const even = adaptiveAvgPool2d(pooled, [2, 5]);
      const wide = concat([even, maxPool2d(even, 1)], 2); // [N, 6, 4, 5]
      const flat = reshape(wide, [wide.shape[0], 24, 5]);
      const three = linear(flat, this.rows.weight, this.rows.bias); // [N, 24, 3]
      const [first, rest] = split(softmax(three, 1), [1, 2], -1);
      return add(first!, relu6(reshape(linear(rest!, ones([1, 2])), [-1, 24, 1])));
    });
  }
}

/** Nonlinearities, and values of channels in either place of sums and products. */
export class GatedNet extends Module {
  readonly conv = new Conv2d(3, 7, 3, { padding: 1 });
  readonly pool = new AdaptiveAvgPool2d(1);
  readonly #scale = tensor([1, -2, 3, -4, 5, -6, 7].map((v) => v / 5)) as Tensor;

  override forward(x: Tensor4D): Tensor {
    return scope(() => {
      const scale = reshape(this.#scale, [1, 7, 1, 1]);
      const y = add(hardswish(mul(scale, this.conv.forward(x))), scale);
      const gate = sigmoid(this.pool.forward(y));
      return add(mul(hardsigmoid(y), gate), add(mul(gate, scale), silu(y)));
    });
  }
}

export const networks: Network[] = [
  { name: 'resnext50_32x4d', build: resnext50_32x4d, sample: [3, 96, 96], large: true },
  { name: 'mobilenet_v1', build: () => mobilenet_v1(0.5), sample: [3, 96, 96] },
  {
    name: "the review's ResNeXt, small",
    build: () =>
      new ResNeXt({
        blockRepeats: [
          [16, 1],
          [32, 1],
        ],
        cardinality: 4,
        numClasses: 7,
      }),
    sample: [3, 33, 47],
  },
  { name: 'mobilenet_v2', build: () => mobilenet_v2(0.5), sample: [3, 64, 64] },
  { name: 'mobilenet_v3_small', build: () => mobilenet_v3_small(0.75), sample: [3, 64, 64] },
  { name: 'mobilenet_v3_large', build: () => mobilenet_v3_large(), sample: [3, 96, 96], large: true },
  { name: 'seresnext50_32x4d', build: () => seresnext50_32x4d(), sample: [3, 64, 64], large: true },
  { name: 'GatedNet', build: () => new GatedNet(), sample: [3, 9, 11] },
  { name: 'OddNet', build: () => new OddNet(), sample: [3, 23, 31] },
  { name: 'FunctionalNet', build: () => new FunctionalNet(), sample: [4, 7, 9] },
  ...(['concat', 'aggregated'] as const).map((form) => ({
    name: `Bottleneck in the form ${form}`,
    build: () => new Bottleneck(12, 8, { cardinality: 4, projection: true, stride: 2, form }),
    sample: [12, 9, 11],
  })),
];
