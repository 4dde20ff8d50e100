import type { FloatDType } from '../dtype.js';
import { native } from '../native.js';
import { inputCheck, record } from '../record.js';
import type { Shape, Tensor } from '../tensor.js';

const checks = { softmax: inputCheck('softmax', ['x']), logSoftmax: inputCheck('logSoftmax', ['x']) };

function softmaxAlong<S extends Shape, D extends FloatDType = 'float32'>(
  name: keyof typeof checks,
  x: Tensor<S, D>,
  axis: number,
  log: boolean,
): Tensor<S, D> {
  checks[name](x);
  return record<S, D>(name, native.softmax(x.handle, axis, log), [x], (save, output) => {
    const y = save(output);
    return (dy, [dx]) => {
      if (dx) native.softmaxGrad(y.handle, dy.handle, axis, log, ...dx.target());
    };
  });
}

/**
 * exp(x) / sum(exp(x)) along one axis, computed without overflow. As torch.softmax.
 *
 * @param axis counted from the end when negative
 * @throws INVALID_ARGUMENT (axis), DISPOSED, UNSUPPORTED (dtype)
 */
export function softmax<S extends Shape, D extends FloatDType = 'float32'>(
  x: Tensor<S, D>,
  axis = -1,
): Tensor<S, D> {
  return softmaxAlong('softmax', x, axis, false);
}

/**
 * The logarithm of softmax, computed without overflow. As torch.log_softmax.
 *
 * @param axis counted from the end when negative
 * @throws INVALID_ARGUMENT (axis), DISPOSED, UNSUPPORTED (dtype)
 */
export function logSoftmax<S extends Shape, D extends FloatDType = 'float32'>(
  x: Tensor<S, D>,
  axis = -1,
): Tensor<S, D> {
  return softmaxAlong('logSoftmax', x, axis, true);
}
