import { type Device, deviceIndex, resolveDevice } from './device.js';
import { type DType, dtypeCode, isDType } from './dtype.js';
import { check, show } from './errors.js';
import { type HostArray, native } from './native.js';
import { checkOptions } from './options.js';
import { Storage } from './storage.js';
import { type Shape, type Shape1D, type Shape2D, type Shape3D, type Shape4D, Tensor } from './tensor.js';

export interface CreateOptions<D extends DType = 'float32'> {
  dtype?: D;
  device?: Device;
  /** Leaves that require a gradient gather one in `.grad`. */
  requiresGrad?: boolean;
}

/** Options without a dtype: float32 then (int32 for an Int32Array), whatever the context expects. */
export type Float32Options = Omit<CreateOptions, 'dtype'>;
export type DTypeOptions<D extends DType> = CreateOptions<D> & { dtype: D };

/** A shape of the same rank, whatever its extents. */
export type OfRank<S extends Shape> = number extends S['length']
  ? Shape
  : { readonly [Axis in keyof S]: number };

type Nested = number | readonly Nested[];
type FlatData = Float32Array | Float64Array | Int32Array | Uint8Array | readonly number[];
type Images = readonly (readonly (readonly (readonly number[])[])[])[];

const known = ['dtype', 'device', 'requiresGrad'] as const;

/** @internal The checked options of a function that makes tensors. */
export function creation<D extends DType>(name: string, options: CreateOptions<D>, dtype: DType) {
  checkOptions(name, options, known);
  const wanted = options.dtype ?? dtype;
  check(isDType(wanted), 'INVALID_ARGUMENT', () => `${name}: unknown dtype ${show(wanted)}`);
  const requiresGrad = options.requiresGrad ?? false;
  check(!requiresGrad || wanted === 'float32', 'UNSUPPORTED', `${name}: no gradients for ${wanted}`);
  return { dtype: wanted as D, device: resolveDevice(options.device), requiresGrad };
}

/** @internal @throws INVALID_SHAPE unless every extent is a whole number from 1 on */
export function checkShape(name: string, shape: Shape): void {
  check(
    Array.isArray(shape) &&
      shape.length <= 6 &&
      shape.every((extent) => Number.isInteger(extent) && extent > 0),
    'INVALID_SHAPE',
    () => `${name}: a shape is a list of at most 6 whole numbers from 1 on, found ${show(shape)}`,
  );
}

const sizeOf = (shape: Shape) => shape.reduce((product, extent) => product * extent, 1);

/** The extents of nested arrays. @throws INVALID_SHAPE where rows differ in length */
function shapeOf(data: Nested): number[] {
  if (!Array.isArray(data)) return [];
  const [first, ...rest] = data.map(shapeOf);
  check(first, 'INVALID_SHAPE', 'tensor: an empty list has no shape');
  for (const other of rest)
    check(
      String(other) === String(first),
      'INVALID_SHAPE',
      () => `tensor: rows of nested lists differ, [${first}] and [${other}]`,
    );
  return [data.length, ...first];
}

/** @throws INVALID_ARGUMENT for what is neither a number nor a list */
function flatten(data: Nested): number[] {
  if (Array.isArray(data)) return (data as readonly Nested[]).flatMap(flatten);
  check(
    typeof data === 'number',
    'INVALID_ARGUMENT',
    () => `tensor: data is a typed array, or numbers in nested lists, found ${show(data)}`,
  );
  return [data];
}

function hostArray(values: FlatData, dtype: DType): HostArray {
  if (dtype === 'int32') return values instanceof Int32Array ? values : Int32Array.from(values);
  return values instanceof Float32Array ? values : Float32Array.from(values);
}

/**
 * A tensor of the given values, which are copied.
 *
 * @param data nested lists, whose nesting is the shape, or a flat list or typed array in row-major order
 * @param shape of flat data; one dimension by default
 * @param options dtype: int32 for an Int32Array, else float32 (bytes keep their values); made int32, fractions are cut
 *   off
 * @throws INVALID_SHAPE when the number of values doesn't fit, INVALID_ARGUMENT, DEVICE_UNAVAILABLE, OUT_OF_MEMORY
 */
export function tensor<const S extends Shape, D extends DType>(
  data: FlatData,
  shape: S,
  options: DTypeOptions<D>,
): Tensor<OfRank<S>, D>;
export function tensor<const S extends Shape>(
  data: Int32Array,
  shape: S,
  options?: Float32Options,
): Tensor<OfRank<S>, 'int32'>;
export function tensor<const S extends Shape>(
  data: Exclude<FlatData, Int32Array>,
  shape: S,
  options?: Float32Options,
): Tensor<OfRank<S>>;
export function tensor(
  data: Int32Array,
  shape?: undefined,
  options?: Float32Options,
): Tensor<Shape1D, 'int32'>;
export function tensor(data: number, shape?: undefined, options?: Float32Options): Tensor<readonly []>;
export function tensor<D extends DType>(
  data: number,
  shape: undefined,
  options: DTypeOptions<D>,
): Tensor<readonly [], D>;
export function tensor(
  data: Exclude<FlatData, Int32Array>,
  shape?: undefined,
  options?: Float32Options,
): Tensor<Shape1D>;
export function tensor<D extends DType>(
  data: FlatData,
  shape: undefined,
  options: DTypeOptions<D>,
): Tensor<Shape1D, D>;
export function tensor(
  data: readonly (readonly number[])[],
  shape?: undefined,
  options?: Float32Options,
): Tensor<Shape2D>;
export function tensor<D extends DType>(
  data: readonly (readonly number[])[],
  shape: undefined,
  options: DTypeOptions<D>,
): Tensor<Shape2D, D>;
export function tensor(
  data: readonly (readonly (readonly number[])[])[],
  shape?: undefined,
  options?: Float32Options,
): Tensor<Shape3D>;
export function tensor<D extends DType>(
  data: readonly (readonly (readonly number[])[])[],
  shape: undefined,
  options: DTypeOptions<D>,
): Tensor<Shape3D, D>;
export function tensor(data: Images, shape?: undefined, options?: Float32Options): Tensor<Shape4D>;
export function tensor<D extends DType>(
  data: Images,
  shape: undefined,
  options: DTypeOptions<D>,
): Tensor<Shape4D, D>;
export function tensor(
  data: FlatData | Nested,
  shape?: Shape,
  options: CreateOptions<DType> = {},
): Tensor<Shape, DType> {
  const { dtype, device, requiresGrad } = creation(
    'tensor',
    options,
    data instanceof Int32Array ? 'int32' : 'float32',
  );
  const isFlat = ArrayBuffer.isView(data) && !(data instanceof DataView) && typeof data[0] !== 'bigint';
  const extents = shape ?? (isFlat ? [data.length] : shapeOf(data as Nested));
  checkShape('tensor', extents);
  const values = isFlat ? data : flatten(data as Nested);
  check(
    values.length === sizeOf(extents),
    'INVALID_SHAPE',
    () => `tensor: shape [${extents.join(', ')}] takes ${sizeOf(extents)} values, data has ${values.length}`,
  );
  const wide = dtype === 'int32' ? 'int32' : 'float32';
  const handle = native.upload(deviceIndex(device), extents, dtypeCode(wide), hostArray(values, wide));
  const made = new Tensor<Shape, DType>({
    storage: new Storage(handle),
    dtype: wide,
    device,
    shape: Object.freeze([...extents]),
  });
  if (dtype === wide) {
    if (requiresGrad) made.requiresGrad = true;
    return made;
  }
  try {
    const narrow = made.to(dtype);
    if (requiresGrad) narrow.requiresGrad = true;
    return narrow;
  } finally {
    made.dispose();
  }
}

/**
 * A tensor in which every element is `value`.
 * @throws INVALID_SHAPE, INVALID_ARGUMENT, DEVICE_UNAVAILABLE, OUT_OF_MEMORY
 */
export function full<const S extends Shape>(
  shape: S,
  value: number,
  options?: Float32Options,
): Tensor<OfRank<S>>;
export function full<const S extends Shape, D extends DType>(
  shape: S,
  value: number,
  options: DTypeOptions<D>,
): Tensor<OfRank<S>, D>;
export function full(shape: Shape, value: number, options: CreateOptions<DType> = {}): Tensor<Shape, DType> {
  const { dtype, device, requiresGrad } = creation('full', options, 'float32');
  checkShape('full', shape);
  const storage = new Storage(native.empty(deviceIndex(device), shape, dtypeCode(dtype)));
  try {
    native.fill(storage.handle, value);
  } catch (error) {
    storage.release();
    throw error;
  }
  const made = new Tensor<Shape, DType>({ storage, dtype, device, shape: Object.freeze([...shape]) });
  if (requiresGrad) made.requiresGrad = true;
  return made;
}

/** A tensor of zeros. As `full`. */
export function zeros<const S extends Shape>(shape: S, options?: Float32Options): Tensor<OfRank<S>>;
export function zeros<const S extends Shape, D extends DType>(
  shape: S,
  options: DTypeOptions<D>,
): Tensor<OfRank<S>, D>;
export function zeros(shape: Shape, options: CreateOptions<DType> = {}): Tensor<Shape, DType> {
  return full(shape, 0, options as DTypeOptions<DType>);
}

/** A tensor of ones. As `full`. */
export function ones<const S extends Shape>(shape: S, options?: Float32Options): Tensor<OfRank<S>>;
export function ones<const S extends Shape, D extends DType>(
  shape: S,
  options: DTypeOptions<D>,
): Tensor<OfRank<S>, D>;
export function ones(shape: Shape, options: CreateOptions<DType> = {}): Tensor<Shape, DType> {
  return full(shape, 1, options as DTypeOptions<DType>);
}
