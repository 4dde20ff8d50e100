import type { FloatDType } from '../dtype.js';
import { check, show } from '../errors.js';
import { native } from '../native.js';
import { inputCheck, record } from '../record.js';
import { Storage } from '../storage.js';
import type { Shape, Tensor, Tensor2D } from '../tensor.js';

const checkReshape = inputCheck('reshape', ['x']);
const checkFlatten = inputCheck('flatten', ['x']);

/**
 * The same elements in row-major order under another shape; memory is shared where it can be. As torch.reshape.
 *
 * @param shape one extent may be -1: it follows from the others
 * @throws INVALID_SHAPE when the sizes differ, INVALID_ARGUMENT (no list), DISPOSED, UNSUPPORTED (dtype)
 */
export function reshape<const T extends Shape, D extends FloatDType = 'float32'>(
  x: Tensor<Shape, D>,
  shape: T,
): Tensor<{ readonly [Axis in keyof T]: number }, D> {
  checkReshape(x);
  check(
    Array.isArray(shape),
    'INVALID_ARGUMENT',
    () => `reshape: a shape is a list of numbers, found ${show(shape)}`,
  );
  const known = shape.filter((extent) => extent !== -1).reduce((product, extent) => product * extent, 1);
  check(
    shape.filter((extent) => extent === -1).length <= 1,
    'INVALID_SHAPE',
    () => `reshape: more than one extent of [${shape.join(', ')}] is -1`,
  );
  const extents = shape.map((extent) => (extent === -1 ? x.size / known : extent));
  check(
    extents.every((extent) => Number.isInteger(extent) && extent > 0) &&
      extents.reduce((product, extent) => product * extent, 1) === x.size,
    'INVALID_SHAPE',
    () => `reshape: [${x.shape.join(', ')}] has ${x.size} elements, which don't fit [${shape.join(', ')}]`,
  );
  const original = x.shape;
  const result = native.reshape(x.handle, extents);
  return record<{ readonly [Axis in keyof T]: number }, D>('reshape', result, [x], () => (dy, [dx]) => {
    if (!dx) return;
    using back = new Storage(native.reshape(dy.handle, original));
    dx.pass(back);
  });
}

/**
 * The axes from `startAxis` on as one. As torch.flatten.
 *
 * @param x [N, ...]
 * @returns [N, the product of the rest], for startAxis 1
 * @throws INVALID_ARGUMENT (startAxis), DISPOSED, UNSUPPORTED (dtype)
 */
export function flatten<D extends FloatDType = 'float32'>(x: Tensor<Shape, D>, startAxis?: 1): Tensor2D<D>;
export function flatten<D extends FloatDType = 'float32'>(
  x: Tensor<Shape, D>,
  startAxis: number,
): Tensor<Shape, D>;
export function flatten<D extends FloatDType = 'float32'>(
  x: Tensor<Shape, D>,
  startAxis = 1,
): Tensor<Shape, D> {
  checkFlatten(x);
  check(
    Number.isInteger(startAxis) && startAxis >= 0 && startAxis < Math.max(1, x.rank),
    'INVALID_ARGUMENT',
    () => `flatten: startAxis is a whole number from 0 to ${x.rank - 1}, found ${show(startAxis)}`,
  );
  return reshape(x, [...x.shape.slice(0, startAxis), -1]);
}
