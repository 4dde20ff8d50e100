import { type Edge, GradNode, isRecording, runBackward } from './autograd.js';
import { type Device, deviceIndex, resolveDevice } from './device.js';
import { type DType, dtypeCode, isDType, isFloatDType, type TypedArrayOf } from './dtype.js';
import { check, show } from './errors.js';
import { type Handle, native } from './native.js';
import { noteGradient, refuseReading } from './recording.js';
import { keep, track } from './scope.js';
import { Storage } from './storage.js';

export type Shape = readonly number[];
export type Scalar = readonly [];
export type Shape1D = readonly [number];
export type Shape2D = readonly [number, number];
export type Shape3D = readonly [number, number, number];
export type Shape4D = readonly [number, number, number, number];

/** How a tensor is made from storage: used by operators, not by users. @internal */
export interface TensorInit<D extends DType> {
  storage: Storage;
  dtype: D;
  device: Device;
  shape?: Shape | undefined;
  node?: GradNode | null;
}

/**
 * An n-dimensional array on a device. The shape's rank and the dtype are part of the type; 4-D shapes are N C H W.
 *
 * Operators return at once and run in order on the device; only reading values waits. Memory is freed by `dispose()`
 * (also by `using`, by `scope` and, later, by the garbage collector).
 */
export class Tensor<S extends Shape = Shape, D extends DType = 'float32'> {
  readonly dtype: D;
  readonly device: Device;
  #storage: Storage;
  #shape: S | undefined;
  #node: GradNode | null;
  #requiresGrad = false;
  #grad: Tensor<S, D> | null = null;
  #disposed = false;

  /** @internal Use `tensor`, `zeros`, …, or an operator. */
  constructor(init: TensorInit<D>) {
    this.#storage = init.storage;
    this.#shape = init.shape as S | undefined;
    this.#node = init.node ?? null;
    this.dtype = init.dtype;
    this.device = init.device;
    track(this);
  }

  get shape(): S {
    this.#shape ??= Object.freeze(native.shapeOf(this.handle)) as unknown as S;
    return this.#shape;
  }
  get rank(): number {
    return this.shape.length;
  }
  /** The number of elements. */
  get size(): number {
    return this.shape.reduce((product, extent) => product * extent, 1);
  }
  get disposed(): boolean {
    return this.#disposed;
  }

  /** Whether backward gathers a gradient here (on a leaf) or passes one on. */
  get requiresGrad(): boolean {
    return this.#requiresGrad || this.#node !== null;
  }
  set requiresGrad(value: boolean) {
    check(
      this.#node === null || value,
      'INVALID_ARGUMENT',
      'requiresGrad: only of a leaf can it be unset; use detach()',
    );
    check(
      this.dtype === 'float32' || this.#node || !value,
      'UNSUPPORTED',
      () => `requiresGrad: a leaf is float32, this one is ${this.dtype}; convert a float32 leaf with to()`,
    );
    this.#requiresGrad = value && this.#node === null;
  }
  /** The gradient gathered by `backward`; null before and after `zeroGrad`. */
  get grad(): Tensor<S, D> | null {
    return this.#grad;
  }
  /**
   * Sets or (with null) drops the gradient; the previous one is disposed of.
   * @throws INVALID_ARGUMENT for what is no tensor
   */
  set grad(value: Tensor<S, D> | null) {
    check(
      value === null || value instanceof Tensor,
      'INVALID_ARGUMENT',
      () => `grad: expected a tensor or null, found ${show(value)}`,
    );
    noteGradient(this as Tensor, undefined);
    if (value === this.#grad) return;
    this.#grad?.dispose();
    this.#grad = value && keep(value);
  }

  /** The elements in row-major order (N C H W). Rejects with the first error among the work that led to them. */
  data(): Promise<TypedArrayOf<D>> {
    refuseReading();
    return this.#read();
  }
  async #read(): Promise<TypedArrayOf<D>> {
    if (this.dtype === 'bfloat16' || this.dtype === 'float16') {
      using wide = this.to('float32');
      return (await wide.#read()) as TypedArrayOf<D>;
    }
    const Elements = this.dtype === 'int32' ? Int32Array : Float32Array;
    return (await native.read(this.handle, new Elements(this.size))) as TypedArrayOf<D>;
  }
  /** Like `data()`, but blocks the event loop until the work is done. */
  dataSync(): TypedArrayOf<D> {
    if (this.dtype === 'bfloat16' || this.dtype === 'float16') {
      using wide = this.to('float32');
      return wide.dataSync() as TypedArrayOf<D>;
    }
    const values = this.dtype === 'int32' ? new Int32Array(this.size) : new Float32Array(this.size);
    native.readSync(this.handle, values);
    return values as TypedArrayOf<D>;
  }
  /** The value of a one-element tensor; blocks until it is there. @throws INVALID_SHAPE for more elements. */
  item(): number {
    check(!this.#disposed, 'DISPOSED', 'item: the tensor has been disposed');
    check(
      this.size === 1,
      'INVALID_SHAPE',
      () => `item: the tensor [${this.shape}] has ${this.size} elements`,
    );
    return this.dataSync()[0] as number;
  }

  /**
   * A tensor of another dtype or on another device; a new handle on the same memory where nothing changes. Recorded
   * for backward: the gradient comes back in this tensor's dtype and to its device.
   * @throws DEVICE_UNAVAILABLE, INVALID_ARGUMENT (neither a device nor a dtype), UNSUPPORTED (no gradient passes through
   *   int32), DISPOSED, OUT_OF_MEMORY
   */
  to<T extends DType>(dtype: T): Tensor<S, T>;
  to(device: Device): Tensor<S, D>;
  to(target: Device | DType): Tensor<S, DType> {
    const there = isDType(target)
      ? { dtype: target, device: this.device }
      : { dtype: this.dtype, device: resolveDevice(target) };
    if (there.dtype === (this.dtype as DType) && there.device === this.device) return this.#alias();
    const recorded = this.requiresGrad && isRecording();
    check(
      !recorded || isFloatDType(there.dtype),
      'UNSUPPORTED',
      'to: no gradient passes through int32; use detach() or noGrad',
    );
    const convert = (from: Storage, { dtype, device }: { dtype: DType; device: Device }) =>
      new Storage(
        isDType(target)
          ? native.cast(from.handle, dtypeCode(dtype))
          : native.transfer(from.handle, deviceIndex(device)),
      );
    const storage = convert(this.storage, there);
    const converted = new Tensor<S, DType>({ ...there, storage, shape: this.#shape });
    if (!recorded) return converted;
    const { dtype, device } = this;
    const node = new GradNode('to', converted, [this.edge]);
    node.backward = (dy, [dx]) => {
      using back = convert(dy, { dtype, device });
      dx?.pass(back);
    };
    converted.attach(node);
    return converted;
  }
  #alias(): Tensor<S, D> {
    this.#node?.retain();
    const alias = new Tensor<S, D>({ ...this.#init(), storage: this.storage.retain(), node: this.#node });
    return alias;
  }
  #init() {
    return { dtype: this.dtype, device: this.device, shape: this.#shape };
  }
  /** The same memory, outside of the graph. */
  detach(): Tensor<S, D> {
    return new Tensor<S, D>({ ...this.#init(), storage: this.storage.retain() });
  }
  /** A copy of the values, outside of the graph. */
  clone(): Tensor<S, D> {
    return new Tensor<S, D>({ ...this.#init(), storage: new Storage(native.clone(this.handle)) });
  }
  /** Overwrites the values in place; not recorded. @throws INVALID_SHAPE when the size or the kind of array differs. */
  set(values: TypedArrayOf<D>): void {
    check(
      this.dtype === 'float32' || this.dtype === 'int32',
      'UNSUPPORTED',
      `set: not for ${this.dtype}; make a float32 tensor and convert it`,
    );
    check(
      values instanceof (this.dtype === 'int32' ? Int32Array : Float32Array) && values.length === this.size,
      'INVALID_SHAPE',
      () =>
        `set: the tensor [${this.shape.join(', ')}] takes ${this.size} values in ${this.dtype === 'int32' ? 'an Int32Array' : 'a Float32Array'}`,
    );
    native.write(this.handle, values);
    this.#storage.version++;
  }

  /**
   * Overwrites the values in place with those of another tensor, without waiting for either; not recorded.
   * @throws INVALID_SHAPE, INVALID_ARGUMENT (no tensor, another dtype or device), DISPOSED
   */
  copyFrom(source: Tensor<S, D>): void {
    check(source instanceof Tensor, 'INVALID_ARGUMENT', 'copyFrom: the source is not a tensor');
    native.copy(this.handle, source.handle);
    this.#storage.version++;
  }

  /**
   * Adds the gradient of this tensor's graph to `.grad` of every leaf that requires one, then frees the graph.
   * @param grad the gradient of this tensor, of its shape and dtype and on its device; 1 by default, for a one-element
   *   tensor.
   * @throws INVALID_ARGUMENT without a graph, for one that is freed, when a saved tensor was changed in place, for a
   *   gradient of another dtype or on another device; INVALID_SHAPE; DISPOSED
   */
  backward(grad?: Tensor<S, D>): void {
    check(!this.#disposed, 'DISPOSED', 'backward: the tensor has been disposed');
    const node = this.#node;
    check(node, 'INVALID_ARGUMENT', 'backward: the tensor has no graph; no input required a gradient');
    check(!grad || grad instanceof Tensor, 'INVALID_ARGUMENT', 'backward: the gradient is not a tensor');
    check(
      grad || this.size === 1,
      'INVALID_SHAPE',
      () =>
        `backward: the tensor [${this.shape}] has ${this.size} elements and needs a gradient of its shape`,
    );
    check(
      !grad || String(grad.shape) === String(this.shape),
      'INVALID_SHAPE',
      () => `backward: gradient [${grad?.shape}] for a tensor [${this.shape}]`,
    );
    check(
      !grad || (grad.dtype === this.dtype && grad.device === this.device),
      'INVALID_ARGUMENT',
      () =>
        `backward: gradient of ${grad?.dtype} on ${grad?.device} for a tensor of ${this.dtype} on ${this.device}`,
    );
    using dy = grad ? grad.storage.retain() : this.#one();
    runBackward(node, dy);
  }

  #one(): Storage {
    const one = new Storage(native.upload(this.deviceIndex, this.shape, 0, Float32Array.of(1)));
    if (this.dtype === 'float32') return one;
    using wide = one;
    return new Storage(native.cast(wide.handle, dtypeCode(this.dtype)));
  }

  /** Frees what this tensor holds: its memory, unless autograd still needs it, and its part of the graph. */
  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.#storage.release();
    this.#node?.release();
    this.#grad?.dispose();
    this.#grad = null;
  }
  [Symbol.dispose](): void {
    this.dispose();
  }

  /** @internal What `console.log` shows in Node. */
  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return this.toString();
  }
  toString(): string {
    return `Tensor([${this.shape.join(', ')}], ${this.dtype}, ${this.device}${this.#disposed ? ', disposed' : ''})`;
  }

  /** @internal @throws DISPOSED */
  get storage(): Storage {
    check(!this.#disposed, 'DISPOSED', 'the tensor has been disposed');
    return this.#storage;
  }
  /** @internal @throws DISPOSED */
  get handle(): Handle {
    return this.storage.handle;
  }
  /** @internal */
  get node(): GradNode | null {
    return this.#node;
  }
  /** @internal Where the gradient of this tensor goes. */
  get edge(): Edge {
    if (this.#node) return { node: this.#node };
    return this.#requiresGrad ? { leaf: this } : null;
  }
  /** @internal Of an operator's fresh result: the node that made it. */
  attach(node: GradNode): void {
    this.#node = node;
  }
  /** @internal The values stay, what backward would need goes. */
  leaveGraph(): void {
    this.#node?.release();
    this.#node = null;
  }
  /** @internal */
  get deviceIndex(): number {
    return deviceIndex(this.device);
  }
  /** @internal */
  gradStorage(): Storage | null {
    const storage = this.#grad && !this.#grad.disposed ? this.#grad.storage : null;
    noteGradient(this as Tensor, storage);
    return storage;
  }
  /** @internal */
  setGrad(storage: Storage): void {
    if (this.gradStorage() === storage) {
      storage.version++;
      storage.release(); // the gradient tensor holds it already
      return;
    }
    this.grad = keep(new Tensor<S, D>({ ...this.#init(), storage }));
  }
}

export type Tensor0D<D extends DType = 'float32'> = Tensor<Scalar, D>;
export type Tensor1D<D extends DType = 'float32'> = Tensor<Shape1D, D>;
export type Tensor2D<D extends DType = 'float32'> = Tensor<Shape2D, D>;
export type Tensor3D<D extends DType = 'float32'> = Tensor<Shape3D, D>;
export type Tensor4D<D extends DType = 'float32'> = Tensor<Shape4D, D>;
