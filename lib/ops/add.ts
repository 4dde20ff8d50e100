import { type ActivationName, activationCodes } from '../activation.js';
import { emptyLike } from '../autograd.js';
import type { FloatDType } from '../dtype.js';
import { native } from '../native.js';
import { inputCheck, record } from '../record.js';
import type { Shape, Tensor } from '../tensor.js';

/**
 * a + b, element by element, for equal shapes. As torch.add, without broadcasting.
 * @throws INVALID_SHAPE (shapes differ), DISPOSED, UNSUPPORTED (dtype)
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
    if (activation === 'none')
      return (dy, slots) => {
        for (const slot of slots) slot?.pass(dy);
      };
    const y = save(output);
    const { shape, dtype, deviceIndex } = output;
    return (dy, slots) => {
      using passed = emptyLike({ shape, dtype, deviceIndex });
      native.activationGrad(y.handle, dy.handle, kind, passed.handle, false);
      for (const slot of slots) slot?.pass(passed);
    };
  });
}
