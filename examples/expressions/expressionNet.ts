// The facial-expression net of face-api as a user of groupconv would write it: four blocks of one plain and fifteen
// depthwise separable convolutions, then a linear classifier. Children have the names that the weights file uses.
import {
  AdaptiveAvgPool2d,
  add,
  Conv2d,
  DepthwiseSeparable,
  Flatten,
  Linear,
  Module,
  relu,
  scope,
  type Tensor,
  type Tensor4D,
  tensor,
} from '../../lib/index.js';
import type { Weight } from './manifest.js';
import { stateOf } from './state.js';

/** What the seven outputs stand for. */
export const EXPRESSIONS = ['neutral', 'happy', 'sad', 'angry', 'fearful', 'disgusted', 'surprised'] as const;

/** Height and width of the images that the net was trained on. */
export const INPUT_SIZE = 112;

/** Means of red, green and blue over the training images, on a scale of 0 to 255. */
const MEAN_RGB = [122.782, 117.001, 104.298];

/** TensorFlow's "same" padding for 3x3 at stride 2 on even sizes: nothing above and left, 1 below and right. */
const SAME_AT_STRIDE_2 = [0, 1, 1, 0] as const;

/** A depthwise 3x3 and a pointwise convolution with nothing between them; the sum has one bias, the pointwise one. */
function separable(inChannels: number, outChannels: number, stride: 1 | 2): DepthwiseSeparable {
  return new DepthwiseSeparable(inChannels, outChannels, {
    kernelSize: 3,
    stride,
    padding: stride === 2 ? [...SAME_AT_STRIDE_2] : 1,
    norm: false,
    activation: null,
    bias: true,
  });
}

/** Halves the image, then adds three separable convolutions, each of the sum so far: s += conv(relu(s)). */
class DenseBlock extends Module {
  readonly conv0: Conv2d | DepthwiseSeparable;
  readonly conv1: DepthwiseSeparable;
  readonly conv2: DepthwiseSeparable;
  readonly conv3: DepthwiseSeparable;

  constructor(inChannels: number, outChannels: number, first: 'conv' | 'separable') {
    super();
    this.conv0 =
      first === 'conv'
        ? new Conv2d(inChannels, outChannels, 3, { stride: 2, padding: [...SAME_AT_STRIDE_2] })
        : separable(inChannels, outChannels, 2);
    this.conv1 = separable(outChannels, outChannels, 1);
    this.conv2 = separable(outChannels, outChannels, 1);
    this.conv3 = separable(outChannels, outChannels, 1);
  }

  override forward(x: Tensor4D): Tensor4D {
    return scope(() => {
      const entry = relu(this.conv0.forward(x)); // [N, outChannels, H/2, W/2], as all that follows
      const sum1 = add(entry, this.conv1.forward(entry));
      const sum2 = add(sum1, this.conv2.forward(relu(sum1)));
      const sum3 = add(sum2, this.conv3.forward(relu(sum2)));
      return relu(sum3);
    });
  }
}

/** [N, 3, 112, 112] from {@link expressionInput} to [N, 7] logits in the order of {@link EXPRESSIONS}. */
export class ExpressionNet extends Module {
  readonly dense0 = new DenseBlock(3, 32, 'conv');
  readonly dense1 = new DenseBlock(32, 64, 'separable');
  readonly dense2 = new DenseBlock(64, 128, 'separable');
  readonly dense3 = new DenseBlock(128, 256, 'separable');
  readonly pool = new AdaptiveAvgPool2d(1);
  readonly flatten = new Flatten();
  readonly fc = new Linear(256, EXPRESSIONS.length);

  override forward(x: Tensor4D): Tensor {
    return scope(() => {
      const features = [this.dense0, this.dense1, this.dense2, this.dense3].reduce(
        (image, block) => block.forward(image),
        x,
      ); // [N, 256, 7, 7]
      return this.fc.forward(this.flatten.forward(this.pool.forward(features)));
    });
  }

  /**
   * Takes the weights of face-api's `face_expression_model`.
   *
   * @param weights - as `readManifest` gives them
   * @throws GroupConvError `INVALID_FILE` or `INVALID_SHAPE` where they aren't this net's
   */
  loadWeights(weights: ReadonlyMap<string, Weight>): void {
    scope(() => {
      const state = [...stateOf(weights)].map(
        ([key, { shape, values }]) => [key, tensor(values, shape)] as const,
      );
      this.loadStateDict(new Map(state));
    });
  }
}

/** Bytes of N images, each [112, 112, 3] RGB, to the net's input [N, 3, 112, 112]: (value - mean) / 255. */
export function expressionInput(images: readonly Uint8Array[]): Tensor4D {
  const plane = INPUT_SIZE * INPUT_SIZE;
  const data = new Float32Array(images.length * 3 * plane);
  images.forEach((pixels, n) => {
    for (let i = 0; i < plane * 3; i++) {
      data[(n * 3 + (i % 3)) * plane + Math.floor(i / 3)] = (pixels[i]! - MEAN_RGB[i % 3]!) / 255;
    }
  });
  return tensor(data, [images.length, 3, INPUT_SIZE, INPUT_SIZE]);
}
