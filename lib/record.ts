import { type Backward, GradNode, isRecording } from './autograd.js';
import { check } from './errors.js';
import type { Handle } from './native.js';
import { Storage } from './storage.js';
import { type Shape, Tensor } from './tensor.js';

/**
 * The frame of every differentiable operator: wraps the native result, and, where an input requires a gradient,
 * records how to compute it.
 *
 * @param name for messages, as the user calls the operator
 * @param result the native output, float32
 * @param inputs in the order of the slots that backward receives; null where an optional one is absent
 * @param setup called only when recording: saves what backward needs and returns it
 */
export function record<S extends Shape>(
  name: string,
  result: Handle,
  inputs: readonly (Tensor<Shape, 'float32'> | null | undefined)[],
  setup: (save: (value: Tensor<Shape, 'float32'> | Storage) => Storage, output: Tensor<S>) => Backward,
): Tensor<S> {
  const device = inputs.find((input) => input)?.device ?? 'cpu';
  const output = new Tensor<S>({ storage: new Storage(result), dtype: 'float32', device });
  if (!isRecording() || !inputs.some((input) => input?.requiresGrad)) return output;
  const edges = inputs.map((input) => {
    if (!input?.requiresGrad) return null;
    return input.node ? { node: input.node } : { leaf: input };
  });
  const node = new GradNode(name, output.shape, output.deviceIndex, edges);
  node.backward = setup((value) => node.save(value instanceof Storage ? value : value.storage), output);
  output.attach(node);
  return output;
}

/** Checks at the door of an operator that the tensors are usable and, by default, float32. */
export function checkInputs(
  name: string,
  inputs: Record<string, Tensor<Shape, 'float32' | 'int32' | 'bfloat16' | 'float16'> | null | undefined>,
): void {
  for (const [role, tensor] of Object.entries(inputs)) {
    if (tensor === null || tensor === undefined) continue;
    check(tensor instanceof Tensor, 'INVALID_ARGUMENT', () => `${name}: ${role} is not a tensor`);
    check(!tensor.disposed, 'DISPOSED', () => `${name}: ${role} has been disposed`);
    check(
      tensor.dtype === 'float32',
      'UNSUPPORTED',
      () => `${name}: ${role} is ${tensor.dtype}, float32 is needed`,
    );
  }
}
