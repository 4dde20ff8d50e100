import type { FloatDType } from '../dtype.js';
import { native } from '../native.js';
import { handleOf, inputCheck, record } from '../record.js';
import type { Shape, Tensor, Tensor1D, Tensor2D } from '../tensor.js';

const checkLinear = inputCheck('linear', ['x'], ['weight', 'bias?']);

/**
 * y = x weightᵀ + bias over the last axis. As torch.nn.functional.linear.
 *
 * @param x [..., in]
 * @param weight [out, in]
 * @param bias [out]
 * @returns [..., out]
 * @throws INVALID_SHAPE, DISPOSED, UNSUPPORTED (dtype)
 */
export function linear<D extends FloatDType = 'float32'>(
  x: Tensor2D<D>,
  weight: Tensor2D,
  bias?: Tensor1D | null,
): Tensor2D<D>;
export function linear<D extends FloatDType = 'float32'>(
  x: Tensor<Shape, D>,
  weight: Tensor2D,
  bias?: Tensor1D | null,
): Tensor<Shape, D>;
export function linear<D extends FloatDType = 'float32'>(
  x: Tensor<Shape, D>,
  weight: Tensor2D,
  bias: Tensor1D | null = null,
): Tensor<Shape, D> {
  checkLinear(x, weight, bias);
  const y = native.linear(x.handle, weight.handle, handleOf(bias));
  return record<Shape, D>('linear', y, [x, weight, bias], (save) => {
    const savedX = weight.requiresGrad ? save(x) : null;
    const savedWeight = x.requiresGrad ? save(weight) : null;
    const outputs = weight.shape[0];
    const rows = x.size / weight.shape[1];
    return (dy, [dx, dweight, dbias]) => {
      if (dx && savedWeight) native.linearGradInput(dy.handle, savedWeight.handle, ...dx.target());
      if (dweight && savedX) native.linearGradWeight(savedX.handle, dy.handle, ...dweight.target());
      if (!dbias) return;
      const flat = native.reshape(dy.handle, [rows, outputs]); // the bias gradient sums over all but axis 1
      native.biasGrad(flat, ...dbias.target());
      native.release(flat);
    };
  });
}
