import { noGrad } from './autograd.js';
import { zeros } from './create.js';
import { check } from './errors.js';
import type { Module } from './module.js';
import { scope } from './scope.js';
import type { Shape, Tensor } from './tensor.js';

/** A call of a module's forward: where it is in the model (the model's own name is empty), and the call itself. */
export interface ForwardCall {
  readonly name: string;
  readonly module: Module;
  readonly x: Tensor;
  /** Runs it, once. */
  run(): unknown;
}

/**
 * Runs a model once on zeros, in evaluation mode and without gradients, and hands every call of a module's forward to
 * `around`, which runs it. Whatever the pass creates is disposed of; the modules' modes are as before.
 *
 * @param caller for messages, as the user calls it
 * @throws DISPOSED, INVALID_SHAPE (inputShape is no shape), and what the model's forward throws
 */
export function probe(
  caller: string,
  model: Module,
  inputShape: Shape,
  around: (call: ForwardCall) => unknown,
): void {
  const names = model.namedModules();
  for (const [name, module] of names)
    check(!module.disposed, 'DISPOSED', () => `${caller}: ${name || 'the model'} has been disposed`);
  const modes = names.map(([, module]) => [module, module.training] as const);
  const restore = names.map(([name, module]) => wrapForward(name, module, around));
  try {
    for (const [module] of modes) module.training = false;
    scope(() => {
      noGrad(() => model.forward(zeros(inputShape) as Tensor));
    });
  } finally {
    for (const undo of restore) undo();
    for (const [module, training] of modes) module.training = training;
  }
}

/** Puts `around` about a module's forward. A forward of its own also keeps a module from being fused with neighbours. */
function wrapForward(name: string, module: Module, around: (call: ForwardCall) => unknown): () => void {
  const own = Object.getOwnPropertyDescriptor(module, 'forward');
  const forward = module.forward;
  const value = (...inputs: [Tensor]) =>
    around({ name, module, x: inputs[0], run: () => forward.apply(module, inputs) });
  Object.defineProperty(module, 'forward', { value, configurable: true, writable: true });
  return () => {
    if (own) Object.defineProperty(module, 'forward', own);
    else Reflect.deleteProperty(module, 'forward');
  };
}
