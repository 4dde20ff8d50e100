import type { FloatDType } from '../dtype.js';
import { native } from '../native.js';
import { inputCheck, record } from '../record.js';
import type { Shape, Tensor } from '../tensor.js';

const checkMul = inputCheck('mul', ['a', 'b']);

/**
 * a b, element by element. As torch.mul, for equal shapes and for factors of channels: one of both may be
 * [N, C, 1, 1] or [1, C, 1, 1] where the other is [N, C, H, W], whose shape the product has.
 * @throws INVALID_SHAPE (shapes that don't fit), DISPOSED, UNSUPPORTED (dtype)
 */
export function mul<S extends Shape, D extends FloatDType = 'float32'>(
  a: Tensor<S, D>,
  b: Tensor<S, NoInfer<D>>,
): Tensor<S, D> {
  checkMul(a, b);
  return record<S, D>('mul', native.mul(a.handle, b.handle), [a, b], (save, output) => {
    const others = [a.requiresGrad ? save(b) : null, b.requiresGrad ? save(a) : null];
    const isSpread = [a, b].map(({ size }) => size < output.size);
    return (dy, slots) => {
      for (const [i, slot] of slots.entries()) {
        const other = others[i];
        if (!slot || !other) continue;
        const gradient = isSpread[i] ? native.scaleGrad : native.mulGrad;
        gradient(dy.handle, other.handle, ...slot.target());
      }
    };
  });
}
