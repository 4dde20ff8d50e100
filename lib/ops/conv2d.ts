import { type ActivationName, activationCodes } from '../activation.js';
import type { FloatDType } from '../dtype.js';
import { type Conv2dGeometry, native } from '../native.js';
import { checkOptions, count, type Padding, type Pair, pair, sides } from '../options.js';
import { handleOf, inputCheck, record, resultLike } from '../record.js';
import type { Shape4D, Tensor1D, Tensor4D } from '../tensor.js';

export interface Conv2dOptions {
  /** [K] */
  bias?: Tensor1D | null;
  stride?: Pair;
  /** Zeros around x: one number, [height, width], or [top, right, bottom, left]. */
  padding?: Padding;
  dilation?: Pair;
  /** Divides C and K; output channels of a group see its input channels only. */
  groups?: number;
}

/** @internal Stride, dilation, padding and groups as the native side reads them. */
export function conv2dGeometry(name: string, options: Omit<Conv2dOptions, 'bias'>): Conv2dGeometry {
  const { stride = 1, padding = 0, dilation = 1, groups = 1 } = options;
  const [strideH, strideW] = pair(name, 'stride', stride, 1);
  const [dilationH, dilationW] = pair(name, 'dilation', dilation, 1);
  const [top, right, bottom, left] = sides(name, padding);
  count(name, 'groups', groups);
  return [strideH, strideW, dilationH, dilationW, top, right, bottom, left, groups];
}

/**
 * Grouped 2-D convolution (cross-correlation). As torch.nn.functional.conv2d, with padding on four sides.
 *
 * @param x [N, C, H, W]
 * @param weight [K, C / groups, R, S]
 * @returns [N, K, P, Q] with P = floor((H + top + bottom - dilation * (R - 1) - 1) / stride) + 1, Q alike
 * @throws INVALID_SHAPE (channels, groups, kernel larger than the padded x), INVALID_ARGUMENT (an option), DISPOSED,
 *   UNSUPPORTED (dtype)
 */
export function conv2d<D extends FloatDType = 'float32'>(
  x: Tensor4D<D>,
  weight: Tensor4D,
  options: Conv2dOptions = {},
): Tensor4D<D> {
  checkOptions('conv2d', options, ['bias', 'stride', 'padding', 'dilation', 'groups']);
  return conv2dWith(x, weight, options.bias ?? null, conv2dGeometry('conv2d', options));
}

const checkConv2d = inputCheck('conv2d', ['x', 'residual?'], ['weight', 'bias?']);
const checkNorm = inputCheck('batchNorm', ['x'], ['weight?', 'bias?', 'runningMean', 'runningVar']);

/** @internal conv2d with its geometry already read. `normed`: a BatchNorm will ask for the output's statistics. */
export function conv2dWith<D extends FloatDType = 'float32'>(
  x: Tensor4D<D>,
  weight: Tensor4D,
  bias: Tensor1D | null,
  geometry: Conv2dGeometry,
  normed = false,
): Tensor4D<D> {
  checkConv2d(x, null, weight, bias);
  const convolve = normed ? native.conv2dNormed : native.conv2d;
  const y = convolve(x.handle, weight.handle, handleOf(bias), ...geometry);
  return record<Shape4D, D>('conv2d', y, [x, weight, bias], (save) => {
    const savedX = weight.requiresGrad ? save(x) : null;
    const savedWeight = x.requiresGrad ? save(weight) : null;
    return (dy, [dx, dweight, dbias]) => {
      if (dx && savedWeight)
        native.conv2dGradInput(dy.handle, savedWeight.handle, ...dx.target(), ...geometry);
      if (dweight && savedX)
        native.conv2dGradWeight(savedX.handle, dy.handle, ...dweight.target(), ...geometry);
      if (dbias) native.biasGrad(dy.handle, ...dbias.target());
    };
  });
}

/** @internal A BatchNorm in evaluation, to be folded into the convolution before it. */
export interface NormToFold {
  weight: Tensor1D | null;
  bias: Tensor1D | null;
  runningMean: Tensor1D;
  runningVar: Tensor1D;
  eps: number;
}

/** @internal What is added before the activation. */
export interface Residual<D extends FloatDType = 'float32'> {
  tensor: Tensor4D<D>;
  /** Nobody reads it again: the output may take over its memory. */
  expendable: boolean;
}

/**
 * Inference only: activation(norm(conv2d(x)) + residual) in one pass. The folded weight is kept beside the weight
 * until one of the parameters changes.
 * @internal
 */
export function conv2dInference<D extends FloatDType = 'float32'>(
  x: Tensor4D<D>,
  weight: Tensor4D,
  bias: Tensor1D | null,
  geometry: Conv2dGeometry,
  norm: NormToFold | null,
  residual: Residual<D> | null,
  activation: ActivationName,
): Tensor4D<D> {
  const added = residual?.tensor ?? null;
  checkConv2d(x, added, weight, bias);
  if (norm) checkNorm(x, norm.weight, norm.bias, norm.runningMean, norm.runningVar);
  const y = native.conv2dFused(
    x.handle,
    weight.handle,
    handleOf(bias),
    handleOf(norm?.weight),
    handleOf(norm?.bias),
    handleOf(norm?.runningMean),
    handleOf(norm?.runningVar),
    norm?.eps ?? 0,
    handleOf(added),
    residual ? residual.expendable && !residual.tensor.storage.shared : false,
    activationCodes[activation],
    ...geometry,
  );
  return resultLike<Shape4D, D>(x, y);
}
