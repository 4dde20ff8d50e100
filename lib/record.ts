import { type Backward, GradNode, isRecording } from './autograd.js';
import type { Device } from './device.js';
import { type DType, type FloatDType, isFloatDType } from './dtype.js';
import { check, show } from './errors.js';
import type { Handle } from './native.js';
import { Storage } from './storage.js';
import { type Shape, Tensor } from './tensor.js';

type AnyTensor = Tensor<Shape, DType>;
type MaybeTensor = AnyTensor | null | undefined;

/** @internal What the native side takes for an optional tensor. */
export function handleOf(tensor: { handle: Handle } | null | undefined): Handle | null {
  return tensor?.handle ?? null;
}

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
 * Makes the check at the door of an operator, which takes its tensors in the order of their roles (activations first,
 * null where an optional one is absent): whether they are usable, activations of a floating-point dtype (the device then
 * says whether it computes in it), parameters and statistics of float32, and all on one device. A role that ends in ? may
 * be null. The check throws INVALID_ARGUMENT (no tensor, several devices), DISPOSED, UNSUPPORTED (dtype).
 */
export function inputCheck(
  name: string,
  activations: readonly string[],
  parameters: readonly string[] = [],
): (...tensors: MaybeTensor[]) => void {
  const roles = [...activations, ...parameters];
  const optional = roles.map((role) => role.endsWith('?'));
  return (...tensors) => {
    // It runs at every call of every operator: what is wrong is only looked for where something is.
    if (!areFit(tensors, optional, activations.length)) explain(name, roles, activations.length, tensors);
  };
}

function areFit(tensors: readonly MaybeTensor[], optional: readonly boolean[], activations: number): boolean {
  let device: Device | undefined;
  for (let i = 0; i < tensors.length; i++) {
    const tensor = tensors[i];
    if (tensor === null && optional[i]) continue;
    if (!(tensor instanceof Tensor) || tensor.disposed) return false;
    if (tensor.dtype !== 'float32' && (i >= activations || !isFloatDType(tensor.dtype))) return false;
    device ??= tensor.device;
    if (tensor.device !== device) return false;
  }
  return true;
}

const strangerOrFound = (shown: string) =>
  shown === 'a Tensor' ? ' of this copy of groupconv; import and require load one each' : `, found ${shown}`;

function explain(
  name: string,
  marked: readonly string[],
  activations: number,
  tensors: readonly MaybeTensor[],
): void {
  const roles = marked.map((role) => role.replace('?', ''));
  for (const [i, tensor] of tensors.entries()) {
    const role = roles[i];
    if (tensor === null && role !== marked[i]) continue;
    check(
      tensor instanceof Tensor,
      'INVALID_ARGUMENT',
      () => `${name}: ${role} is not a tensor${strangerOrFound(show(tensor))}`,
    );
    check(!tensor.disposed, 'DISPOSED', () => `${name}: ${role} has been disposed`);
    check(
      i >= activations || isFloatDType(tensor.dtype),
      'UNSUPPORTED',
      () => `${name}: ${role} is ${tensor.dtype}, a dtype of floating point is needed`,
    );
    check(
      i < activations || tensor.dtype === 'float32',
      'UNSUPPORTED',
      () => `${name}: ${role} is ${tensor.dtype}; it stays float32, whatever dtype activations have`,
    );
  }
  checkOneDevice(name, roles, tensors);
}

/** @internal @throws INVALID_ARGUMENT, naming both, when two of the tensors are on different devices */
export function checkOneDevice(
  name: string,
  roles: readonly string[],
  tensors: readonly MaybeTensor[],
): void {
  const first = tensors.findIndex(Boolean);
  const device = tensors[first]?.device;
  for (const [i, tensor] of tensors.entries())
    check(
      !tensor || tensor.device === device,
      'INVALID_ARGUMENT',
      () =>
        `${name}: ${roles[first]} is on ${device}, ${roles[i]} on ${tensor?.device}; to(device) moves tensors and modules`,
    );
}
