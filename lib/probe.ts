import { noGrad } from './autograd.js';
import { zeros } from './create.js';
import { check } from './errors.js';
import { deviceOf, type Module, wrapForward } from './module.js';
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
 * Runs a model once on zeros, on its device, in evaluation mode, in float32 and without gradients, and hands every call
 * of a module's forward to `around`, which runs it. Whatever the pass creates is disposed of; the modules' modes are as
 * before.
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
  const modes = names.map(([, module]) => [module, module.training, module.computeDtype] as const);
  for (const [module] of modes) Object.assign(module, { training: false, computeDtype: null });
  const restore = names.map(([name, module]) =>
    wrapForward(module, (x, forward) => around({ name, module, x, run: () => forward(x) })),
  );
  try {
    scope(() => {
      const device = deviceOf(model);
      const input = zeros(inputShape, device ? { device } : {});
      noGrad(() => model.forward(input as Tensor));
    });
  } finally {
    for (const undo of restore) undo();
    for (const [module, training, computeDtype] of modes) Object.assign(module, { training, computeDtype });
  }
}
