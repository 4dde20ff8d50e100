import type { ActivationName } from '../activation.js';
import { isRecording } from '../autograd.js';
import type { Module } from '../module.js';
import { addActivated } from '../ops/add.js';
import { conv2dInference, conv2dWith, type Residual } from '../ops/conv2d.js';
import { scope } from '../scope.js';
import type { Tensor, Tensor4D } from '../tensor.js';
import { ReLU, ReLU6 } from './activation.js';
import { BatchNorm2d } from './batchNorm2d.js';
import { Conv2d } from './conv2d.js';
import { depthFirst } from './depthFirst.js';

/**
 * Runs modules one after the other, and the only place that fuses them. Inference: convolution, BatchNorm (folded),
 * residual and activation in one pass. Training: BatchNorm, residual and activation in one pass. Each intermediate is
 * disposed of as soon as nothing needs it any more; the input never is, unless the caller gives it away.
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

type Consume = (module: Module, x: Tensor) => Tensor;
const consumers = new Map<Module['forward'], Consume>();

/**
 * Says how a class's forward runs when its input is given away: it may be disposed of, or overwritten, before the end.
 * @internal
 */
export function consuming<M extends Module>(
  type: abstract new (...args: never[]) => M,
  forward: (module: M, x: Tensor) => Tensor,
): void {
  consumers.set((type.prototype as Module).forward, forward as Consume);
}

function run(module: Module, x: Tensor, given: boolean): Tensor {
  const consume = given ? consumers.get(module.forward) : undefined;
  return consume ? consume(module, x) : module.forward(x);
}

/** What follows the last module: activation(last + residual). */
interface Tail {
  /** Made when it is needed, which is late: the less lives at once. `last`: nobody needs the chain's input after it. */
  residual(last: boolean): Residual | null;
  readonly activation: ActivationName;
}
const residual = () => null;
const activations = {
  none: { residual, activation: 'none' },
  relu: { residual, activation: 'relu' },
  relu6: { residual, activation: 'relu6' },
} as const satisfies Record<ActivationName, Tail>;

interface Place {
  chain: readonly Module[];
  /** Index of the module to run. */
  at: number;
  x: Tensor;
  /** Whether x is the chain's own to dispose of. */
  given: boolean;
  /** Whether x is the chain's input. */
  first: boolean;
  tail: Tail | null;
}
interface Step {
  y: Tensor;
  /** Index of the next module to run. */
  next: number;
}

const requireGrad = (...tensors: (Tensor | null | undefined)[]) =>
  tensors.some((tensor) => tensor?.requiresGrad);

/** What follows `next`: the tail where the chain ends, else an activation, else nothing. */
function epilogue({ chain, tail }: Place, next: number): { store: Tail; next: number } {
  if (next === chain.length) return { store: tail ?? activations.none, next };
  const activation = activationOf(chain[next]);
  return activation ? { store: activations[activation], next: next + 1 } : { store: activations.none, next };
}

/** Runs a step that adds the residual; nobody needs it afterwards. */
function adding({ first }: Place, store: Tail, step: (residual: Residual | null) => Tensor): Tensor {
  const residual = store.residual(!first);
  const y = step(residual);
  if (residual?.expendable) residual.tensor.dispose();
  return y;
}

function convolution(place: Place, conv: Conv2d): Step {
  const { chain, at } = place;
  const x = place.x as Tensor4D;
  const following = chain[at + 1];
  const follower = isStock(following, BatchNorm2d) ? following : null;
  const norm = follower?.usesRunningStatistics ? follower : null;
  const { store, next } = epilogue(place, norm ? at + 2 : at + 1);
  // The tail belongs to a BatchNorm that is last: before one that can't be folded, a convolution stands alone.
  if (
    isRecording() &&
    (requireGrad(x, conv.weight, conv.bias, norm?.weight, norm?.bias) ||
      requireGrad(store.residual(!place.first)?.tensor))
  )
    return { y: conv2dWith(x, conv.weight, conv.bias, conv.geometry, !!follower && !norm), next: at + 1 };
  const y = adding(place, store, (residual) =>
    conv2dInference(
      x,
      conv.weight,
      conv.bias,
      conv.geometry,
      norm?.statistics() ?? null,
      residual,
      store.activation,
    ),
  );
  return { y, next };
}

function runStep(place: Place): Step {
  const { chain, at, x, given } = place;
  const module = chain[at] as Module;
  if (isStock(module, Conv2d)) return convolution(place, module);
  if (isStock(module, BatchNorm2d)) {
    const { store, next } = epilogue(place, at + 1);
    const y = adding(place, store, (residual) =>
      module.normalise(x as Tensor4D, residual?.tensor ?? null, store.activation),
    );
    return { y, next };
  }
  return { y: run(module, x, given), next: at + 1 };
}

interface ChainOptions {
  /** Needs a BatchNorm2d at the end. */
  tail?: Tail | null;
  /** Whether the chain may dispose of x. */
  given?: boolean;
}

function runModules(
  chain: readonly Module[],
  x: Tensor,
  { tail = null, given = false }: ChainOptions,
): Tensor {
  let current = x;
  for (let at = 0; at < chain.length; ) {
    const first = current === x;
    const ours = given || !first;
    const { y, next } = runStep({ chain, at, x: current, given: ours, first, tail });
    if (ours && current !== y) current.dispose();
    current = y;
    at = next;
  }
  return current;
}

/** Whether no chain is running: what goes depth-first is decided once for all that runs inside. */
let outermost = true;

/** The output of the last module, or x where there is none. @internal */
export function runChain(chain: readonly Module[], x: Tensor, options: ChainOptions = {}): Tensor {
  return scope(() => {
    if (!outermost) return runModules(chain, x, options);
    outermost = false;
    try {
      const done = options.tail ? null : depthFirst(chain, x, runChain);
      if (!done) return runModules(chain, x, options);
      if (options.given) x.dispose();
      return runModules(chain.slice(done.next), done.y, { given: true });
    } finally {
      outermost = true;
    }
  });
}

/** What a residual block adds to its residual function. */
class Shortcut implements Tail {
  #made: Residual | null = null;

  constructor(
    readonly module: Module | null,
    readonly x: Tensor4D,
    readonly given: boolean,
    readonly activation: ActivationName,
  ) {}

  residual(last: boolean): Residual | null {
    const { module, x, given } = this;
    if (!module || this.#made) return this.#made;
    const tensor = run(module, x, given && last) as Tensor4D;
    this.#made = { tensor, expendable: tensor !== x || (given && last) };
    return this.#made;
  }
}

/**
 * activation(residual(x) + shortcut(x)), of a residual block; without a shortcut activation(residual(x)), and without
 * an activation what it would get. @internal
 */
export function runResidual(
  residual: readonly Module[],
  shortcut: Module | null,
  activation: Module | null,
  x: Tensor4D,
  given = false,
): Tensor4D {
  return scope(() => {
    const kind = activation ? activationOf(activation) : 'none';
    const tail = new Shortcut(shortcut, x, given, kind ?? 'none');
    if (kind && isStock(residual.at(-1), BatchNorm2d)) return runChain(residual, x, { tail }) as Tensor4D;
    const y = runChain(residual, x) as Tensor4D;
    const added = tail.residual(true);
    const sum = added ? addActivated(y, added.tensor, tail.activation) : y;
    return activation && !(added && kind) ? (activation.forward(sum) as Tensor4D) : sum;
  });
}
