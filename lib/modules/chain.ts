import type { ActivationName } from '../activation.js';
import { isRecording } from '../autograd.js';
import type { Module } from '../module.js';
import { add } from '../ops/add.js';
import { conv2dInference } from '../ops/conv2d.js';
import { scope } from '../scope.js';
import type { Tensor, Tensor4D } from '../tensor.js';
import { BatchNorm2d } from './batchNorm2d.js';
import { Conv2d } from './conv2d.js';
import { ReLU, ReLU6 } from './relu.js';

/**
 * Runs modules one after the other, and the only place that fuses them. Inference: convolution, BatchNorm (folded),
 * residual and activation in one pass. Training: BatchNorm, residual and activation in one pass. Each intermediate is
 * disposed of as soon as the next one exists; the input never is.
 */

/** Whether a module's forward is its class's own. Subclasses, hooks, observers and disposed modules may replace it. */
export function isStock<M extends Module>(
  module: Module | undefined,
  type: abstract new (...args: never[]) => M,
): module is M {
  return module !== undefined && module.forward === (type.prototype as Module).forward;
}

/** The activation that a module is, if a kernel can apply it at its store. */
function activationOf(module: Module | undefined): Exclude<ActivationName, 'none'> | null {
  if (isStock(module, ReLU)) return 'relu';
  return isStock(module, ReLU6) ? 'relu6' : null;
}

/** What follows the last module: activation(last + residual). */
interface Tail {
  residual: Tensor4D | null;
  activation: ActivationName;
}

interface Step {
  y: Tensor;
  /** Index of the next module to run. */
  next: number;
}

const records = (...tensors: (Tensor | null)[]) =>
  isRecording() && tensors.some((tensor) => tensor?.requiresGrad);

/** What follows `next`: the tail where the chain ends, else an activation, else nothing. */
function epilogue(chain: readonly Module[], next: number, tail: Tail | null): { store: Tail; next: number } {
  if (next === chain.length) return { store: tail ?? { residual: null, activation: 'none' }, next };
  const activation = activationOf(chain[next]);
  return { store: { residual: null, activation: activation ?? 'none' }, next: activation ? next + 1 : next };
}

function convolution(
  chain: readonly Module[],
  at: number,
  conv: Conv2d,
  x: Tensor4D,
  tail: Tail | null,
): Step {
  const following = chain[at + 1];
  const norm = isStock(following, BatchNorm2d) && following.usesRunningStatistics ? following : null;
  const { store, next } = epilogue(chain, norm ? at + 2 : at + 1, tail);
  const inference = !records(
    x,
    conv.weight,
    conv.bias,
    store.residual,
    norm?.weight ?? null,
    norm?.bias ?? null,
  );
  // The tail belongs to a BatchNorm that is last: before one that can't be folded, a convolution stands alone.
  if (!inference) return { y: conv.forward(x), next: at + 1 };
  const y = conv2dInference(
    x,
    conv.weight,
    conv.bias,
    conv.geometry,
    norm?.statistics() ?? null,
    store.residual,
    store.activation,
  );
  return { y, next };
}

function runStep(chain: readonly Module[], at: number, x: Tensor, tail: Tail | null): Step {
  const module = chain[at] as Module;
  if (isStock(module, Conv2d)) return convolution(chain, at, module, x as Tensor4D, tail);
  if (isStock(module, BatchNorm2d)) {
    const { store, next } = epilogue(chain, at + 1, tail);
    return { y: module.normalise(x as Tensor4D, store.residual, store.activation), next };
  }
  return { y: module.forward(x), next: at + 1 };
}

/** The output of the last module, or x where there is none. A tail needs a BatchNorm2d at the end. @internal */
export function runChain(chain: readonly Module[], x: Tensor, tail: Tail | null = null): Tensor {
  return scope(() => {
    let current = x;
    for (let at = 0; at < chain.length; ) {
      const { y, next } = runStep(chain, at, current, tail);
      if (current !== x && current !== y) current.dispose();
      current = y;
      at = next;
    }
    return current;
  });
}

/** activation(residual(x) + shortcut(x)), of a residual block; without a shortcut activation(residual(x)). @internal */
export function runResidual(
  residual: readonly Module[],
  shortcut: Module | null,
  activation: Module,
  x: Tensor4D,
): Tensor4D {
  return scope(() => {
    const kind = activationOf(activation);
    if (kind && isStock(residual.at(-1), BatchNorm2d)) {
      const other = shortcut && (shortcut.forward(x) as Tensor4D);
      return runChain(residual, x, { residual: other, activation: kind }) as Tensor4D;
    }
    const y = runChain(residual, x) as Tensor4D;
    return activation.forward(shortcut ? add(y, shortcut.forward(x) as Tensor4D) : y) as Tensor4D;
  });
}
