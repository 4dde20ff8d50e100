import { noGrad } from '../autograd.js';
import { zeros } from '../create.js';
import { check, show } from '../errors.js';
import { type Handle, native } from '../native.js';
import { checkOptions } from '../options.js';
import { checkOneDevice } from '../record.js';
import { aside, eachRun } from '../recording.js';
import { keep } from '../scope.js';
import { Storage } from '../storage.js';
import { type Shape, Tensor } from '../tensor.js';

/** Parameters with settings of their own. */
export interface ParameterGroup {
  params: Iterable<Tensor>;
  /** Instead of the optimiser's; later changes of `optimizer.lr` scale it by the same factor. */
  lr?: number;
  /** Instead of the optimiser's. */
  weightDecay?: number;
}
/** What an optimiser trains: a module's `parameters()`, or groups of them. */
export type Trainable = Iterable<Tensor> | readonly ParameterGroup[];

/** Tensors by key: a Map, or a plain object. */
export type OptimizerState = ReadonlyMap<string, Tensor<Shape, 'float32' | 'int32'>>;

/** One group of an optimiser's, as it trains it. */
export interface Group {
  readonly params: readonly Tensor[];
  /** The group's learning rate over the optimiser's. */
  readonly lrFactor: number;
  readonly weightDecay: number;
}

/** @internal @throws INVALID_ARGUMENT unless the value is a number in [least, below) */
export function number(name: string, what: string, value: unknown, least = 0, below = Infinity): number {
  check(
    typeof value === 'number' && value >= least && value < below,
    'INVALID_ARGUMENT',
    () =>
      `${name}: ${what} is a number from ${least} on${below < Infinity ? `, below ${below}` : ''}, found ${show(value)}`,
  );
  return value;
}

function isGroup(item: Tensor | ParameterGroup): item is ParameterGroup {
  return !(item instanceof Tensor) && typeof item === 'object' && item !== null && 'params' in item;
}

function groupsOf(name: string, trainable: Trainable, lr: number, weightDecay: number): Group[] {
  check(
    typeof (trainable as Iterable<Tensor> | undefined)?.[Symbol.iterator] === 'function',
    'INVALID_ARGUMENT',
    () => `${name}: expected a list of parameters, as a module's parameters(), found ${show(trainable)}`,
  );
  const items = [...(trainable as Iterable<Tensor | ParameterGroup>)];
  const given: ParameterGroup[] = items.some(isGroup)
    ? (items as ParameterGroup[])
    : [{ params: items as Tensor[] }];
  const seen = new Set<Tensor>();
  return given.map((group) => {
    check(isGroup(group), 'INVALID_ARGUMENT', `${name}: tensors and groups of them are mixed`);
    checkOptions(name, group, ['params', 'lr', 'weightDecay']);
    const params = [...group.params];
    for (const tensor of params) {
      check(tensor instanceof Tensor, 'INVALID_ARGUMENT', () => `${name}: a parameter is not a tensor`);
      check(!tensor.disposed, 'DISPOSED', () => `${name}: a parameter has been disposed`);
      check(
        tensor.node === null,
        'INVALID_ARGUMENT',
        () => `${name}: [${tensor.shape}] is the result of an operator, not a parameter`,
      );
      check(tensor.dtype === 'float32', 'UNSUPPORTED', () => `${name}: a parameter is ${tensor.dtype}`);
      check(
        !seen.has(tensor),
        'INVALID_ARGUMENT',
        () => `${name}: the parameter [${tensor.shape}] is given twice`,
      );
      seen.add(tensor);
    }
    const own = number(name, "a group's lr", group.lr ?? lr);
    check(lr > 0 || own === lr, 'INVALID_ARGUMENT', `${name}: groups with their own lr need an lr above 0`);
    return {
      params,
      lrFactor: lr > 0 ? own / lr : 1,
      weightDecay: number(name, "a group's weightDecay", group.weightDecay ?? weightDecay),
    };
  });
}

/** The shape of an entry of the state: like its parameter, or a count of steps. */
type Kind = 'like' | 'count';

/**
 * What optimisers have in common: groups of parameters, their state, and a learning rate that may be set at any time.
 * Parameters without a gradient are left alone. State lives until `dispose()`, whatever scope a step runs in.
 */
export abstract class Optimizer {
  readonly groups: readonly Group[];
  #lr: number;

  /** @internal */
  constructor(
    protected readonly name: string,
    trainable: Trainable,
    lr: number,
    weightDecay: number,
  ) {
    this.#lr = number(name, 'lr', lr);
    number(name, 'weightDecay', weightDecay);
    this.groups = groupsOf(name, trainable, lr, weightDecay);
    check(
      this.groups.some(({ params }) => params.length > 0),
      'INVALID_ARGUMENT',
      `${name}: no parameters to train`,
    );
    checkOneDevice(
      name,
      this.parameters.map((_, i) => `parameter ${i}`),
      this.parameters,
    );
  }

  /** The learning rate of the next step. @throws INVALID_ARGUMENT below 0 */
  get lr(): number {
    return this.#lr;
  }
  set lr(value: number) {
    number(this.name, 'lr', value);
    eachRun(() => {
      this.#lr = value;
    });
  }

  get parameters(): readonly Tensor[] {
    return this.groups.flatMap(({ params }) => params);
  }

  /**
   * Changes every parameter that has a gradient by it, or, when anything is wrong, none. Returns at once.
   * @throws DISPOSED when a parameter or a gradient has been disposed, INVALID_SHAPE for a gradient of another shape,
   *   INVALID_ARGUMENT for one on another device, UNSUPPORTED for one of another dtype
   */
  step(): void {
    const ready = this.groups.map(({ params }) => params.filter((tensor) => hasGradient(this.name, tensor)));
    for (const [i, group] of this.groups.entries()) {
      const params = ready[i] as Tensor[];
      if (params.length > 0) this.update(params, group);
      for (const tensor of params) tensor.storage.version++;
    }
  }

  /** Drops the gradients of all parameters. */
  zeroGrad(): void {
    for (const tensor of this.parameters) tensor.grad = null;
  }

  /** @internal One step of parameters with gradients. */
  protected abstract update(params: readonly Tensor[], group: Group): void;

  /** @internal The names of a parameter's state, as PyTorch calls them. */
  protected abstract readonly kinds: Readonly<Record<string, Kind>>;
  /** @internal A parameter's state by name; undefined before its first step. */
  protected abstract stateOf(tensor: Tensor): Record<string, Tensor | number> | undefined;
  /** @internal Replaces a parameter's state. */
  protected abstract setState(tensor: Tensor, state: Record<string, Tensor | number> | undefined): void;

  /**
   * A copy of the state for a checkpoint: `<index of the parameter>.<name>`, as in `3.momentum_buffer`. Settings such
   * as `lr` are not part of it. The tensors belong to the caller.
   */
  stateDict(): Map<string, Tensor<Shape, 'float32' | 'int32'>> {
    const copies = new Map<string, Tensor<Shape, 'float32' | 'int32'>>();
    for (const [i, tensor] of this.parameters.entries())
      for (const [key, value] of Object.entries(this.stateOf(tensor) ?? {}))
        copies.set(`${i}.${key}`, typeof value === 'number' ? countTensor(tensor, value) : value.clone());
    return copies;
  }

  /**
   * Goes on from a copy of the state. Nothing changes when anything is wrong. The tensors stay the caller's.
   * @param source from `stateDict()` or `loadSafetensors()`
   * @throws INVALID_ARGUMENT (unknown or missing keys), INVALID_SHAPE, UNSUPPORTED (dtype), DISPOSED
   */
  loadStateDict(source: OptimizerState | Readonly<Record<string, Tensor<Shape, 'float32' | 'int32'>>>): void {
    const given = new Map(source instanceof Map ? source : Object.entries(source));
    const params = this.parameters;
    const names = Object.entries(this.kinds);
    const loads = params.map((param, i) => {
      const found = names.filter(([key]) => given.has(`${i}.${key}`));
      check(
        found.length === 0 || found.length === names.length,
        'INVALID_ARGUMENT',
        () => `${this.name}: loadStateDict: the state of parameter ${i} is incomplete`,
      );
      return found.map(([key, kind]) => {
        const value = given.get(`${i}.${key}`) as Tensor<Shape, 'float32' | 'int32'>;
        given.delete(`${i}.${key}`);
        checkEntry(this.name, `${i}.${key}`, value, kind === 'like' ? param : null);
        return { key, kind, value };
      });
    });
    check(
      given.size === 0,
      'INVALID_ARGUMENT',
      () => `${this.name}: loadStateDict: unexpected ${[...given.keys()].join(', ')}`,
    );
    for (const [i, load] of loads.entries()) {
      const entries = load.map(({ key, kind, value }): [string, Tensor | number] => [
        key,
        kind === 'count' ? value.item() : stateFrom(value as Tensor, params[i] as Tensor),
      ]);
      const param = params[i] as Tensor;
      disposeState(this.stateOf(param));
      this.setState(param, entries.length > 0 ? Object.fromEntries(entries) : undefined);
    }
  }

  /** Frees the state; the parameters stay. */
  dispose(): void {
    for (const tensor of this.parameters) {
      disposeState(this.stateOf(tensor));
      this.setState(tensor, undefined);
    }
  }
  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** Whether there is a gradient to step by. @throws as `step` */
function hasGradient(name: string, tensor: Tensor): boolean {
  check(!tensor.disposed, 'DISPOSED', () => `${name}: a parameter has been disposed`);
  const { grad, shape } = tensor;
  if (grad === null) return false;
  check(
    !grad.disposed,
    'DISPOSED',
    () => `${name}: the gradient of a parameter [${shape}] has been disposed`,
  );
  check(
    grad.rank === shape.length && grad.shape.every((extent, axis) => extent === shape[axis]),
    'INVALID_SHAPE',
    () => `${name}: gradient [${grad.shape}] of parameter [${shape}]`,
  );
  check(
    grad.dtype === 'float32',
    'UNSUPPORTED',
    () => `${name}: the gradient of parameter [${shape}] is ${grad.dtype}`,
  );
  check(
    grad.device === tensor.device,
    'INVALID_ARGUMENT',
    () => `${name}: gradient on ${grad.device} of a parameter on ${tensor.device}`,
  );
  return true;
}

function disposeState(state: Record<string, Tensor | number> | undefined): void {
  for (const value of Object.values(state ?? {})) if (typeof value !== 'number') value.dispose();
}

function countTensor({ device, deviceIndex }: Tensor, value: number): Tensor<Shape, 'int32'> {
  const storage = new Storage(native.upload(deviceIndex, [], 3, Int32Array.of(value)));
  return new Tensor<Shape, 'int32'>({ storage, dtype: 'int32', device, shape: [] });
}

function checkEntry(
  name: string,
  key: string,
  value: Tensor<Shape, 'float32' | 'int32'>,
  like: Tensor | null,
): void {
  const shape = like ? like.shape : [];
  const dtype = like ? 'float32' : 'int32';
  check(value instanceof Tensor, 'INVALID_ARGUMENT', () => `${name}: loadStateDict: ${key} is not a tensor`);
  check(!value.disposed, 'DISPOSED', () => `${name}: loadStateDict: ${key} has been disposed`);
  check(
    String(value.shape) === String(shape),
    'INVALID_SHAPE',
    () => `${name}: loadStateDict: ${key} is [${value.shape}], [${shape}] is needed`,
  );
  check(
    value.dtype === dtype,
    'UNSUPPORTED',
    () => `${name}: loadStateDict: ${key} is ${value.dtype}, ${dtype} is needed`,
  );
}

/** @internal Zeros that live from step to step: kept out of every scope, no part of a captured step. */
export function stateLike({ shape, device }: Tensor): Tensor {
  return aside(() => keep(zeros(shape, { device })));
}

/** A copy for the state of a parameter, on its device. */
function stateFrom(given: Tensor, { device }: Tensor): Tensor {
  return keep(given.device === device ? given.clone() : noGrad(() => given.to(device)));
}

/** @internal */
export const handles = (tensors: readonly Tensor[]): Handle[] => tensors.map(({ handle }) => handle);
/** @internal */
export const gradients = (tensors: readonly Tensor[]): Handle[] =>
  handles(tensors.map(({ grad }) => grad as Tensor));
