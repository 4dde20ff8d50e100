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
  for (const [role, tensor] of Object.entries(activations)) {
    if (!isUsable(name, role, tensor)) continue;
    check(
      isFloatDType(tensor.dtype),
      'UNSUPPORTED',
      () => `${name}: ${role} is ${tensor.dtype}, a dtype of floating point is needed`,
    );
  }
  for (const [role, tensor] of Object.entries(parameters)) {
    if (!isUsable(name, role, tensor)) continue;
    check(
      tensor.dtype === 'float32',
      'UNSUPPORTED',
      () => `${name}: ${role} is ${tensor.dtype}; it stays float32, whatever dtype activations have`,
    );
  }
  checkOneDevice(name, { ...activations, ...parameters });
}

/** Whether there is one; a tensor that is there must be usable. */
function isUsable(name: string, role: string, tensor: AnyTensor | null | undefined): tensor is AnyTensor {
  if (tensor === null || tensor === undefined) return false;
  check(tensor instanceof Tensor, 'INVALID_ARGUMENT', () => `${name}: ${role} is not a tensor`);
  check(!tensor.disposed, 'DISPOSED', () => `${name}: ${role} has been disposed`);
  return true;
}

/** @internal @throws INVALID_ARGUMENT, naming both, when two of the tensors are on different devices */
export function checkOneDevice(name: string, tensors: Roles): void {
  let first: [role: string, device: Device] | null = null;
  for (const [role, tensor] of Object.entries(tensors)) {
    if (!tensor) continue;
    first ??= [role, tensor.device];
    const [other, device] = first;
    check(
      tensor.device === device,
      'INVALID_ARGUMENT',
      () =>
        `${name}: ${other} is on ${device}, ${role} on ${tensor.device}; to(device) moves tensors and modules`,
    );
  }
}
