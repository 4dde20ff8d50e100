// Weights from TensorFlow's axes to groupconv's, which are PyTorch's. A convolution's filter is [R, S, C/G, K] there and
// [K, C/G, R, S] here; a depthwise filter is [R, S, C, M] there (M outputs for each input channel) and [C*M, 1, R, S]
// here, output channel c*M + m in both; a dense layer is [inputs, outputs] there and [outputs, inputs] here.
import { GroupConvError } from '../../lib/index.js';
import type { Weight } from './manifest.js';

/** [R, S, C/G, K] to [K, C/G, R, S]. @throws GroupConvError `INVALID_FILE` where the weight isn't 4-D */
export function convWeight(weight: Weight): Weight {
  return permute(weight, [3, 2, 0, 1]);
}

/** [R, S, C, M] to [C*M, 1, R, S]. @throws GroupConvError `INVALID_FILE` where the weight isn't 4-D */
export function depthwiseWeight(weight: Weight): Weight {
  const { shape, values } = permute(weight, [2, 3, 0, 1]);
  const [channels, multiplier, height, width] = shape as [number, number, number, number];
  return { shape: [channels * multiplier, 1, height, width], values };
}

/** [inputs, outputs] to [outputs, inputs]. @throws GroupConvError `INVALID_FILE` where the weight isn't 2-D */
export function linearWeight(weight: Weight): Weight {
  return permute(weight, [1, 0]);
}

/** Axis i of the result is axis `axes[i]` of the weight. */
function permute({ shape, values }: Weight, axes: readonly number[]): Weight {
  if (shape.length !== axes.length) {
    throw new GroupConvError(
      'INVALID_FILE',
      `a weight is [${shape.join(', ')}], expected ${axes.length} dimensions`,
    );
  }
  const strides = shape.map((_, axis) =>
    shape.slice(axis + 1).reduce((product, length) => product * length, 1),
  );
  const lengths = axes.map((axis) => shape[axis]!);
  const steps = axes.map((axis) => strides[axis]!);
  const permuted = new Float32Array(values.length);
  for (let i = 0; i < permuted.length; i++) {
    let rest = i;
    let source = 0;
    for (let axis = axes.length - 1; axis >= 0; axis--) {
      source += (rest % lengths[axis]!) * steps[axis]!;
      rest = Math.floor(rest / lengths[axis]!);
    }
    permuted[i] = values[source]!;
  }
  return { shape: lengths, values: permuted };
}
