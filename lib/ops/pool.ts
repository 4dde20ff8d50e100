import type { FloatDType } from '../dtype.js';
import { native, type PoolGeometry } from '../native.js';
import { checkOptions, flag, type Padding, type Pair, pair, sides } from '../options.js';
import { inputCheck, record } from '../record.js';
import type { Shape4D, Tensor4D } from '../tensor.js';

const checks = {
  maxPool2d: inputCheck('maxPool2d', ['x']),
  avgPool2d: inputCheck('avgPool2d', ['x']),
  adaptiveAvgPool2d: inputCheck('adaptiveAvgPool2d', ['x']),
};

export interface MaxPool2dOptions {
  /** The kernel's size by default: windows side by side. */
  stride?: Pair;
  /** One number, [height, width], or [top, right, bottom, left]; at most half the kernel. */
  padding?: Padding;
}

export interface AvgPool2dOptions extends MaxPool2dOptions {
  /** Whether zeros of the padding count in the divisor, as they do by default. */
  countIncludePad?: boolean;
}

/** Kernel, stride and padding as the native side reads them. */
function poolGeometry(name: string, kernelSize: Pair, options: MaxPool2dOptions): PoolGeometry {
  const { stride = kernelSize, padding = 0 } = options;
  const [height, width] = pair(name, 'kernelSize', kernelSize, 1);
  const [strideH, strideW] = pair(name, 'stride', stride, 1);
  const [top, right, bottom, left] = sides(name, padding);
  return [height, width, strideH, strideW, top, right, bottom, left];
}

/**
 * The largest value in each window; padding never wins, NaN does. As torch.nn.functional.max_pool2d. The gradient
 * goes to the first maximum of a window.
 *
 * @param x [N, C, H, W]
 * @returns [N, C, P, Q] with P = floor((H + top + bottom - kernel height) / stride) + 1, Q alike
 * @throws INVALID_SHAPE (a kernel larger than the padded x), INVALID_ARGUMENT (an option, padding above half the
 *   kernel), DISPOSED, UNSUPPORTED (dtype)
 */
export function maxPool2d<D extends FloatDType = 'float32'>(
  x: Tensor4D<D>,
  kernelSize: Pair,
  options: MaxPool2dOptions = {},
): Tensor4D<D> {
  checkOptions('maxPool2d', options, ['stride', 'padding']);
  const geometry = poolGeometry('maxPool2d', kernelSize, options);
  checks.maxPool2d(x);
  const y = native.maxPool2d(x.handle, ...geometry);
  return record<Shape4D, D>('maxPool2d', y, [x], (save, output) => {
    const [savedX, savedY] = [save(x), save(output)];
    return (dy, [dx]) => {
      if (dx) native.maxPool2dGrad(savedX.handle, savedY.handle, dy.handle, ...dx.target(), ...geometry);
    };
  });
}

/**
 * The mean of each window. As torch.nn.functional.avg_pool2d.
 *
 * @param x [N, C, H, W]
 * @returns [N, C, P, Q], sizes as of maxPool2d
 * @throws INVALID_SHAPE (a kernel larger than the padded x), INVALID_ARGUMENT (an option, padding above half the
 *   kernel), DISPOSED, UNSUPPORTED (dtype)
 */
export function avgPool2d<D extends FloatDType = 'float32'>(
  x: Tensor4D<D>,
  kernelSize: Pair,
  options: AvgPool2dOptions = {},
): Tensor4D<D> {
  checkOptions('avgPool2d', options, ['stride', 'padding', 'countIncludePad']);
  const { countIncludePad = true } = options;
  flag('avgPool2d', 'countIncludePad', countIncludePad);
  const geometry = poolGeometry('avgPool2d', kernelSize, options);
  checks.avgPool2d(x);
  const y = native.avgPool2d(x.handle, countIncludePad, ...geometry);
  return record<Shape4D, D>('avgPool2d', y, [x], () => (dy, [dx]) => {
    if (dx) native.avgPool2dGrad(dy.handle, countIncludePad, ...dx.target(), ...geometry);
  });
}

/**
 * The mean over windows that share x out evenly: output row p averages rows floor(p * H / P) to ceil((p + 1) * H / P),
 * columns alike. As torch.nn.functional.adaptive_avg_pool2d; with `outputSize` 1 this is global average pooling.
 *
 * @param x [N, C, H, W]
 * @param outputSize one number or [P, Q]
 * @returns [N, C, P, Q]
 * @throws INVALID_SHAPE (rank), INVALID_ARGUMENT (outputSize), DISPOSED, UNSUPPORTED (dtype)
 */
export function adaptiveAvgPool2d<D extends FloatDType = 'float32'>(
  x: Tensor4D<D>,
  outputSize: Pair,
): Tensor4D<D> {
  const [height, width] = pair('adaptiveAvgPool2d', 'outputSize', outputSize, 1);
  checks.adaptiveAvgPool2d(x);
  const y = native.adaptiveAvgPool2d(x.handle, height, width);
  return record<Shape4D, D>('adaptiveAvgPool2d', y, [x], () => (dy, [dx]) => {
    if (dx) native.adaptiveAvgPool2dGrad(dy.handle, ...dx.target());
  });
}
