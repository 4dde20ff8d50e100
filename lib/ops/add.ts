import { type ActivationName, activationCodes } from '../activation.js';
import { type Backward, emptyLike } from '../autograd.js';
import type { FloatDType } from '../dtype.js';
import { native } from '../native.js';
import { inputCheck, record } from '../record.js';
import type { Shape, Tensor } from '../tensor.js';

/**
 * a + b, element by element. As torch.add, for equal shapes and for values of channels: one of both may be
 * [N, C, 1, 1] or [1, C, 1, 1] where the other is [N, C, H, W], whose shape the sum has.
 * @throws INVALID_SHAPE (shapes that don't fit), DISPOSED, UNSUPPORTED (dtype)
 */
export function add<S extends Shape, D extends FloatDType = 'float32'>(
  a: Tensor<S, D>,
  b: Tensor<S, NoInfer<D>>,
): Tensor<S, D> {
  return addActivated(a, b, 'none');
}

const checkAdd = inputCheck('add', ['a', 'b']);

/** activation(a + b) in one pass: the end of a residual block. @internal */
export function addActivated<S extends Shape, D extends FloatDType = 'float32'>(
  a: Tensor<S, D>,
  b: Tensor<S, NoInfer<D>>,
  activation: ActivationName,
): Tensor<S, D> {
  checkAdd(a, b);
  const kind = activationCodes[activation];
  return record<S, D>('add', native.add(a.handle, b.handle, kind), [a, b], (save, output) => {
    const isSpread = [a, b].map(({ size }) => size < output.size);
    const pass: Backward = (dy, slots) => {
      for (const [i, slot] of slots.entries())
        if (slot && isSpread[i]) native.biasGrad(dy.handle, ...slot.target());
        else slot?.pass(dy);
    };
    if (kind === activationCodes.none) return pass;
    const y = save(output);
    const { shape, dtype, deviceIndex } = output;
    return (dy, slots) => {
      using passed = emptyLike({ shape, dtype, deviceIndex });
      native.activationGrad(y.handle, dy.handle, kind, passed.handle, false);
      pass(passed, slots);
    };
  });
}
