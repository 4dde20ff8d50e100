import { type Backward, GradNode, isRecording } from './autograd.js';
import type { Device } from './device.js';
import { type DType, type FloatDType, isFloatDType } from './dtype.js';
import { check } from './errors.js';
import type { Handle } from './native.js';
import { Storage } from './storage.js';
import { type Shape, Tensor } from './tensor.js';

type AnyTensor = Tensor<Shape, DType>;
/** Tensors by their role, as the user knows it; null where an optional one is absent. */
type Roles = Record<string, AnyTensor | null | undefined>;

/** @internal The tensor that an operator's native result is, of another's dtype and device. */
export function resultLike<S extends Shape, D extends DType>(
  { dtype, device }: { dtype: D; device: Device },
  result: Handle,
): Tensor<S, D> {
  return new Tensor<S, D>({ storage: new Storage(result), dtype, device });
}

/**
 * The frame of every differentiable operator: wraps the native result, and, where an input requires a gradient,
 * records how to compute it.
 *
 * @param name for messages, as the user calls the operator
 * @param result the native output
 * @param inputs in the order of the slots that backward receives; null where an optional one is absent. The first gives
 *   the output's device and, unless `dtype` says otherwise, its dtype.
 * @param setup called only when recording: saves what backward needs and returns it
 */
export function record<S extends Shape, D extends FloatDType = 'float32'>(
  name: string,
  result: Handle,
  inputs: readonly [Tensor<Shape, FloatDType>, ...(Tensor<Shape, FloatDType> | null)[]],
  setup: (save: (value: AnyTensor | Storage) => Storage, output: Tensor<S, D>) => Backward,
  dtype?: D,
): Tensor<S, D> {
  const [first] = inputs;
  const like = { dtype: dtype ?? (first.dtype as D), device: first.device };
  const output = resultLike<S, D>(like, result);
  if (!isRecording() || !inputs.some((input) => input?.requiresGrad)) return output;
  const edges = inputs.map((input) => input?.edge ?? null);
  const node = new GradNode(name, output, edges);
  node.backward = setup((value) => node.save(value instanceof Storage ? value : value.storage), output);
  output.attach(node);
  return output;
}

/**
 * Checks at the door of an operator that its tensors are usable: activations of a floating-point dtype (the device then
 * says whether it computes in it), parameters and statistics of float32, and all on one device.
 * @throws INVALID_ARGUMENT (no tensor, several devices), DISPOSED, UNSUPPORTED (dtype)
 */
export function checkInputs(name: string, activations: Roles, parameters: Roles = {}): void {
  // for … in: these loops run at every operator, and lists of entries would be made anew each time.
  for (const role in activations) {
    const tensor = activations[role];
    if (!isUsable(name, role, tensor)) continue;
    check(
      isFloatDType(tensor.dtype),
      'UNSUPPORTED',
      () => `${name}: ${role} is ${tensor.dtype}, a dtype of floating point is needed`,
    );
  }
  for (const role in parameters) {
    const tensor = parameters[role];
    if (!isUsable(name, role, tensor)) continue;
    check(
      tensor.dtype === 'float32',
      'UNSUPPORTED',
      () => `${name}: ${role} is ${tensor.dtype}; it stays float32, whatever dtype activations have`,
    );
  }
  checkOneDevice(name, activations, parameters);
}

/** Whether there is one; a tensor that is there must be usable. */
function isUsable(name: string, role: string, tensor: AnyTensor | null | undefined): tensor is AnyTensor {
  if (tensor === null || tensor === undefined) return false;
  check(tensor instanceof Tensor, 'INVALID_ARGUMENT', () => `${name}: ${role} is not a tensor`);
  check(!tensor.disposed, 'DISPOSED', () => `${name}: ${role} has been disposed`);
  return true;
}

/** @internal @throws INVALID_ARGUMENT, naming both, when two of the tensors are on different devices */
export function checkOneDevice(name: string, ...groups: Roles[]): void {
  let first: AnyTensor | null = null;
  let firstRole = '';
  for (const group of groups)
    for (const role in group) {
      const tensor = group[role];
      if (!tensor) continue;
      if (first === null) {
        first = tensor;
        firstRole = role;
      }
      const { device } = first;
      check(
        tensor.device === device,
        'INVALID_ARGUMENT',
        () =>
          `${name}: ${firstRole} is on ${device}, ${role} on ${tensor.device}; to(device) moves tensors and modules`,
      );
    }
}
