import { activationCodes } from '../activation.js';
import type { FloatDType } from '../dtype.js';
import { native } from '../native.js';
import { inputCheck, record } from '../record.js';
import type { Shape, Tensor } from '../tensor.js';

const checks = { relu: inputCheck('relu', ['x']), relu6: inputCheck('relu6', ['x']) };

function activation<S extends Shape, D extends FloatDType = 'float32'>(
  name: 'relu' | 'relu6',
  x: Tensor<S, D>,
): Tensor<S, D> {
  checks[name](x);
  const kind = activationCodes[name];
  return record<S, D>(name, native.activation(x.handle, kind), [x], (save, output) => {
    const y = save(output);
    return (dy, [dx]) => {
      if (dx) native.activationGrad(y.handle, dy.handle, kind, ...dx.target());
    };
  });
}

/**
 * max(x, 0), element by element. As torch.nn.functional.relu.
 * @throws DISPOSED, UNSUPPORTED (dtype)
 */
export function relu<S extends Shape, D extends FloatDType = 'float32'>(x: Tensor<S, D>): Tensor<S, D> {
  return activation('relu', x);
}

/**
 * min(max(x, 0), 6), element by element. As torch.nn.functional.relu6.
 * @throws DISPOSED, UNSUPPORTED (dtype)
 */
export function relu6<S extends Shape, D extends FloatDType = 'float32'>(x: Tensor<S, D>): Tensor<S, D> {
  return activation('relu6', x);
}
