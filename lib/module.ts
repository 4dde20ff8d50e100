import { noGrad } from './autograd.js';
import { type Device, resolveDevice } from './device.js';
import { type DType, type FloatDType, isDType, isFloatDType } from './dtype.js';
import { check, GroupConvError, show } from './errors.js';
import { keep, scope } from './scope.js';
import { type StateSource, takeState } from './state.js';
import { type Shape, Tensor } from './tensor.js';

type AnyTensor = Tensor<Shape, DType>;

/** Parameters stay parameters while they are frozen (`requiresGrad = false`). */
const parameters = new WeakSet<AnyTensor>();

/**
 * Makes a tensor a parameter: it requires a gradient and lives as long as its module, whatever scope it was made in.
 * A float32 leaf that requires a gradient and lies in a module's field is one without further ado.
 */
export function parameter<S extends Shape>(values: Tensor<S>): Tensor<S> {
  check(
    values instanceof Tensor,
    'INVALID_ARGUMENT',
    () => `parameter: expected a tensor, found ${show(values)}`,
  );
  values.requiresGrad = true;
  parameters.add(values as AnyTensor);
  return keep(values);
}

function isParameter(tensor: AnyTensor): boolean {
  if (tensor.requiresGrad && tensor.node === null) parameters.add(tensor);
  return parameters.has(tensor);
}

/** Where a module holds a tensor or a child: a field, or an element of an array in a field. */
interface Slot<T> {
  readonly name: string;
  readonly value: T;
  readonly holder: Record<string, unknown>;
  readonly key: string;
}

function slots(holder: object, path = ''): Slot<unknown>[] {
  return Object.entries(holder).flatMap(([key, value]) => {
    const name = path + key;
    if (Array.isArray(value) && path === '') return slots(value, `${name}.`);
    return { name, value, holder: holder as Record<string, unknown>, key };
  });
}
/** The module's own parameters, then its own buffers. */
function ownTensors(module: Module): Slot<AnyTensor>[] {
  const own = slots(module).filter((slot): slot is Slot<AnyTensor> => slot.value instanceof Tensor);
  return [
    ...own.filter(({ value }) => isParameter(value)),
    ...own.filter(({ value }) => !isParameter(value)),
  ];
}
function ownChildren(module: Module): Slot<Module>[] {
  return slots(module).filter((slot): slot is Slot<Module> => slot.value instanceof Module);
}

/** @internal What forward needs of children(), made faster: the modules in fields, in order; one may come twice. */
export function modulesIn(module: Module): Module[] {
  return Object.values(module).filter((value) => value instanceof Module);
}

const join = (path: string, name: string) => (path ? `${path}.${name}` : name);

/** A module and all below it, each with its path, parents first. */
function* walk(module: Module, path = '', above: readonly Module[] = []): Generator<[string, Module]> {
  if (above.includes(module)) return;
  yield [path, module];
  for (const { name, value } of ownChildren(module)) yield* walk(value, join(path, name), [...above, module]);
}

/** Without the entries whose value came before. */
function distinct<T>(entries: Iterable<[string, T]>): [string, T][] {
  const seen = new Set<T>();
  return [...entries].filter(([, value]) => !seen.has(value) && seen.add(value));
}

/**
 * Puts `around` about a module's forward until the returned function is called. A forward of its own also keeps a module
 * from being fused with its neighbours.
 * @internal
 */
export function wrapForward(
  module: Module,
  around: (x: Tensor, forward: (x: Tensor) => Tensor) => unknown,
): () => void {
  const own = Object.getOwnPropertyDescriptor(module, 'forward');
  const forward = module.forward;
  const value = (x: Tensor, ...more: []) => around(x, (input) => forward.call(module, input, ...more));
  Object.defineProperty(module, 'forward', { value, configurable: true, writable: true });
  return () => {
    if (own) Object.defineProperty(module, 'forward', own);
    else Reflect.deleteProperty(module, 'forward');
  };
}

/** @internal Where a module's parameters are; undefined for one without. */
export function deviceOf(module: Module): Device | undefined {
  return module.parameters()[0]?.device;
}

/**
 * A layer, a block or a network: parameters, buffers and child modules are its plain fields (or arrays in fields), in
 * the order of their definition; a field's name is the key, as in torch.nn.Module.
 *
 * ```ts
 * class Block extends Module {
 *   readonly conv = new Conv2d(64, 64, 3, { padding: 1, groups: 32 });
 *   readonly scale = parameter(ones([1]));
 *   override forward(x: Tensor4D): Tensor4D {
 *     return this.conv.forward(x);
 *   }
 * }
 * ```
 *
 * Fields that nobody can see from outside (`#conv`), arrays in arrays and plain objects are not looked into: what lies
 * there is neither trained nor saved.
 *
 * A module disposes of what it creates inside `forward`; the result belongs to the caller.
 */
export abstract class Module<In extends Tensor = Tensor, Out extends Tensor = Tensor> {
  /** Whether normalisation and dropout behave as in training; set by `train()` and `eval()`. */
  training = true;
  #disposed = false;
  #computeDtype: FloatDType | null = null;
  #stopCasting = () => {};

  /** The output for an input. Overrides may narrow the types, for example to `Tensor4D`. */
  abstract forward(x: In): Out;

  /** Every module of the tree with its path, this one first (its path is empty), each once. */
  namedModules(): [string, Module][] {
    return distinct(walk(this));
  }
  modules(): Module[] {
    return this.namedModules().map(([, module]) => module);
  }
  /** The modules directly below this one, each once. */
  namedChildren(): [string, Module][] {
    return distinct(ownChildren(this).map(({ name, value }): [string, Module] => [name, value]));
  }
  children(): Module[] {
    return this.namedChildren().map(([, child]) => child);
  }

  /** The trained tensors of the tree, each once. They belong to the module. */
  namedParameters(): [string, Tensor][] {
    return distinct(this.#entries((tensor) => isParameter(tensor))) as [string, Tensor][];
  }
  parameters(): Tensor[] {
    return this.namedParameters().map(([, tensor]) => tensor);
  }
  /** The tensors of the tree that are state but not trained, as running statistics, each once. */
  namedBuffers(): [string, Tensor<Shape, DType>][] {
    return distinct(this.#entries((tensor) => !isParameter(tensor)));
  }

  /** Switches the whole tree to training (or, with false, to evaluation). */
  train(mode = true): this {
    for (const module of this.modules()) module.training = mode;
    return this;
  }
  eval(): this {
    return this.train(false);
  }

  /**
   * Moves parameters and buffers to a device, or converts those of floating point to a dtype. What changes is replaced
   * by new tensors without gradients: make optimisers afterwards. Only float32 parameters can be used and trained, the
   * other dtypes are for storage ({@link computeDtype} is what computes in them); parameters that come back to it require
   * gradients again.
   * @throws DEVICE_UNAVAILABLE, INVALID_ARGUMENT (no device or floating-point dtype), DISPOSED, OUT_OF_MEMORY; the module
   *   is as it was then
   */
  to(target: Device | DType): this {
    check(target !== 'int32', 'INVALID_ARGUMENT', 'Module.to: parameters are of floating point, not int32');
    const device = isDType(target) ? null : resolveDevice(target);
    const changes = ({ dtype, device: at }: AnyTensor) =>
      device ? at !== device : dtype !== 'int32' && dtype !== target;
    const places = this.modules()
      .flatMap(ownTensors)
      .filter(({ value }) => changes(value));
    const moved = new Map<AnyTensor, AnyTensor>();
    try {
      for (const { value } of places)
        if (!moved.has(value)) moved.set(value, keep(noGrad(() => value.to(target as DType))));
    } catch (error) {
      for (const after of moved.values()) after.dispose();
      throw error;
    }
    for (const [before, after] of moved) {
      if (!isParameter(before)) continue;
      parameters.add(after);
      after.requiresGrad = after.dtype === 'float32' && (before.requiresGrad || before.dtype !== 'float32');
    }
    for (const { value, holder, key } of places) holder[key] = moved.get(value);
    for (const before of moved.keys()) before.dispose();
    return this;
  }

  /**
   * Mixed precision: the dtype in which this module's forward computes, whatever its input has; null (at first) leaves
   * activations as they come. The input is converted to it and the output back to the input's dtype, so the code around
   * sees float32 only: the loss is computed in it. Parameters, their gradients and statistics are float32 throughout, and
   * so is every sum inside of an operator. Not part of the state; children may have dtypes of their own.
   *
   * ```ts
   * model.to('cuda').computeDtype = 'bfloat16';
   * ```
   *
   * Only devices that compute in the dtype can run forward then: on the CPU it throws UNSUPPORTED for bfloat16 and
   * float16. Inside of a forward, tensors have the dtype at run time, though their static type says float32.
   * @throws INVALID_ARGUMENT for what is no floating-point dtype; DISPOSED
   */
  get computeDtype(): FloatDType | null {
    return this.#computeDtype;
  }
  set computeDtype(dtype: FloatDType | null) {
    const name = this.constructor.name;
    check(
      dtype === null || isFloatDType(dtype),
      'INVALID_ARGUMENT',
      () => `${name}: computeDtype is 'float32', 'bfloat16', 'float16' or null, found ${show(dtype)}`,
    );
    check(!this.#disposed, 'DISPOSED', () => `${name}: the module has been disposed`);
    this.#stopCasting();
    this.#stopCasting = () => {};
    this.#computeDtype = dtype;
    if (dtype === null) return;
    this.#stopCasting = wrapForward(this, (x, forward) => {
      check(x instanceof Tensor, 'INVALID_ARGUMENT', () => `${name}: x is not a tensor`);
      return scope(() => forward(x.to(dtype) as Tensor).to(x.dtype));
    });
  }

  /** Drops the gradients of every parameter. */
  zeroGrad(): void {
    for (const tensor of this.parameters()) tensor.grad = null;
  }

  /**
   * Every parameter and buffer under PyTorch's key (`conv1.0.weight`, `conv1.1.running_mean`, …). The tensors are the
   * module's own: they follow further training and must not be disposed of; `clone()` them for a snapshot.
   */
  stateDict(): Map<string, Tensor<Shape, DType>> {
    return new Map(this.#entries(() => true));
  }

  /**
   * Copies values into this module's parameters and buffers, converting dtypes. Nothing is written when anything is
   * wrong. A missing `num_batches_tracked` is never an error: old checkpoints lack it.
   *
   * @param source from `stateDict()` or `loadSafetensors()`; ResNeXt also takes torchvision's and timm's keys
   * @param options strict (true): whether missing and unexpected keys are errors
   * @returns the keys that were missing and those that were not used
   * @throws INVALID_ARGUMENT (missing or unexpected keys), INVALID_SHAPE, DISPOSED
   */
  loadStateDict(
    source: StateSource,
    options: { strict?: boolean } = {},
  ): { missing: string[]; unexpected: string[] } {
    const foreign = new Map<string, string>();
    for (const [path, module] of walk(this))
      for (const [key] of module.#entries(() => true)) {
        const other = module.foreignKey(key);
        if (other !== null) foreign.set(join(path, key), join(path, other));
      }
    return takeState(this.constructor.name, this.stateDict(), foreign, source, options);
  }

  /** The name that other libraries' files give to an entry of this module's state, or null. */
  protected foreignKey(_key: string): string | null {
    return null;
  }

  get disposed(): boolean {
    return this.#disposed;
  }
  /** Frees the tree's parameters, gradients and buffers. `forward` throws DISPOSED from now on. */
  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    for (const { value } of ownTensors(this)) value.dispose();
    const name = this.constructor.name;
    Object.defineProperty(this, 'forward', {
      value: () => {
        throw new GroupConvError('DISPOSED', `${name}: the module has been disposed`);
      },
    });
    for (const child of this.children()) child.dispose();
  }
  [Symbol.dispose](): void {
    this.dispose();
  }

  *#entries(wanted: (tensor: AnyTensor) => boolean): Generator<[string, AnyTensor]> {
    for (const [path, module] of walk(this))
      for (const { name, value } of ownTensors(module)) if (wanted(value)) yield [join(path, name), value];
  }
}
