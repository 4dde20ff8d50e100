import { type NonlinearityName, nonlinearityCodes } from '../activation.js';
import type { FloatDType } from '../dtype.js';
import { native } from '../native.js';
import { inputCheck, record } from '../record.js';
import type { Shape, Tensor } from '../tensor.js';

/** Whose gradient follows from the input; that of the others follows from the output. */
const savesInput: readonly NonlinearityName[] = ['silu', 'hardswish'];

function nonlinearity(name: NonlinearityName) {
  const checkInput = inputCheck(name, ['x']);
  const kind = nonlinearityCodes[name];
  return <S extends Shape, D extends FloatDType>(x: Tensor<S, D>): Tensor<S, D> => {
    checkInput(x);
    return record<S, D>(name, native.activation(x.handle, kind), [x], (save, output) => {
      const saved = save(savesInput.includes(name) ? x : output);
      return (dy, [dx]) => {
        if (dx) native.activationGrad(saved.handle, dy.handle, kind, ...dx.target());
      };
    });
  };
}

const [reluOf, relu6Of] = [nonlinearity('relu'), nonlinearity('relu6')];
const [sigmoidOf, siluOf] = [nonlinearity('sigmoid'), nonlinearity('silu')];
const [hardsigmoidOf, hardswishOf] = [nonlinearity('hardsigmoid'), nonlinearity('hardswish')];

/**
 * max(x, 0), element by element. As torch.nn.functional.relu.
 * @throws DISPOSED, UNSUPPORTED (dtype)
 */
export function relu<S extends Shape, D extends FloatDType = 'float32'>(x: Tensor<S, D>): Tensor<S, D> {
  return reluOf(x);
}

/**
 * min(max(x, 0), 6), element by element. As torch.nn.functional.relu6.
 * @throws DISPOSED, UNSUPPORTED (dtype)
 */
export function relu6<S extends Shape, D extends FloatDType = 'float32'>(x: Tensor<S, D>): Tensor<S, D> {
  return relu6Of(x);
}

/**
 * 1 / (1 + exp(-x)), element by element, computed without overflow. As torch.sigmoid.
 * @throws DISPOSED, UNSUPPORTED (dtype)
 */
export function sigmoid<S extends Shape, D extends FloatDType = 'float32'>(x: Tensor<S, D>): Tensor<S, D> {
  return sigmoidOf(x);
}

/**
 * x sigmoid(x), element by element (Ramachandran et al. 2017: swish). As torch.nn.functional.silu.
 * @throws DISPOSED, UNSUPPORTED (dtype)
 */
export function silu<S extends Shape, D extends FloatDType = 'float32'>(x: Tensor<S, D>): Tensor<S, D> {
  return siluOf(x);
}

/**
 * min(max(x + 3, 0), 6) / 6, element by element. As torch.nn.functional.hardsigmoid.
 * @throws DISPOSED, UNSUPPORTED (dtype)
 */
export function hardsigmoid<S extends Shape, D extends FloatDType = 'float32'>(
  x: Tensor<S, D>,
): Tensor<S, D> {
  return hardsigmoidOf(x);
}

/**
 * x hardsigmoid(x), element by element (Howard et al. 2019, MobileNetV3). As torch.nn.functional.hardswish.
 * @throws DISPOSED, UNSUPPORTED (dtype)
 */
export function hardswish<S extends Shape, D extends FloatDType = 'float32'>(x: Tensor<S, D>): Tensor<S, D> {
  return hardswishOf(x);
}
