import {
  type CreateOptions,
  checkShape,
  creation,
  type DTypeOptions,
  type Float32Options,
  type OfRank,
} from './create.js';
import { deviceIndex } from './device.js';
import { type DType, dtypeCode } from './dtype.js';
import { check, show } from './errors.js';
import { feed } from './feed.js';
import { type DeviceIndex, type Handle, native } from './native.js';
import { eachRun } from './recording.js';
import { Storage } from './storage.js';
import { type Shape, Tensor } from './tensor.js';

/**
 * The environment's generator: a seed, and the position in its sequence that comes next. A number depends on the seed
 * and its position alone (Philox 4x32-10), so seeded runs repeat on every thread count and instruction set.
 */
let seed = Math.floor(Math.random() * 2 ** 53);
let offset = 0;

/**
 * Starts the generator of this thread anew: what `rand`, `randn`, `dropout` and initial weights give from now on
 * follows from the seed.
 * @throws INVALID_ARGUMENT unless the seed is a whole number from 0 to 2^53 - 1
 */
export function manualSeed(value: number): void {
  check(
    Number.isSafeInteger(value) && value >= 0,
    'INVALID_ARGUMENT',
    () => `manualSeed: the seed is a whole number from 0 to 2^53 - 1, found ${show(value)}`,
  );
  eachRun(() => {
    seed = value;
    offset = 0;
  });
}

/** The generator's seed, and the position of the number that comes next. */
export interface RandomState {
  readonly seed: number;
  readonly offset: number;
}

/** Where the generator of this thread stands, for a checkpoint. */
export function getRandomState(): RandomState {
  return { seed, offset };
}

/** Goes on from a state. @throws INVALID_ARGUMENT unless seed and offset are whole numbers from 0 to 2^53 - 1 */
export function setRandomState(state: RandomState): void {
  for (const [name, value] of Object.entries({ seed: state.seed, offset: state.offset }))
    check(
      Number.isSafeInteger(value) && value >= 0,
      'INVALID_ARGUMENT',
      () => `setRandomState: ${name} is a whole number from 0 to 2^53 - 1, found ${show(value)}`,
    );
  const { seed: from, offset: at } = state;
  eachRun(() => {
    seed = from;
    offset = at;
  });
}

/** @internal The seed and the position of the next `count` numbers, which are taken. */
export function takeRandom(count: number): [seed: number, offset: number] {
  const taken: [number, number] = [seed, offset];
  offset += count;
  return taken;
}

/** The two words of a number, the lower one first. */
const words = (value: number) => [value % 2 ** 32, Math.floor(value / 2 ** 32)];

/** @internal The position of the next `count` numbers, as operators read it; they are taken. The caller releases it. */
export function feedPosition(device: DeviceIndex, count: number): Storage {
  return feed(device, 'int32', () => Int32Array.from(Uint32Array.from(takeRandom(count).flatMap(words))));
}

type Fill = (target: Handle, position: Handle) => void;

function random(name: string, shape: Shape, options: CreateOptions<DType>, fill: Fill): Tensor<Shape, DType> {
  const { dtype, device, requiresGrad } = creation(name, options, 'float32');
  check(dtype !== 'int32', 'UNSUPPORTED', () => `${name}: int32 has no numbers between 0 and 1`);
  checkShape(name, shape);
  const handle = native.empty(deviceIndex(device), shape, dtypeCode('float32'));
  using position = feedPosition(
    deviceIndex(device),
    shape.reduce((product, extent) => product * extent, 1),
  );
  fill(handle, position.handle);
  const made = new Tensor<Shape, DType>({
    storage: new Storage(handle),
    dtype: 'float32',
    device,
    shape: Object.freeze([...shape]),
  });
  if (dtype === 'float32') {
    if (requiresGrad) made.requiresGrad = true;
    return made;
  }
  using wide = made;
  const narrow = wide.to(dtype);
  if (requiresGrad) narrow.requiresGrad = true;
  return narrow;
}

/**
 * Uniform random numbers in [0, 1).
 * @throws INVALID_SHAPE, INVALID_ARGUMENT, UNSUPPORTED (int32), DEVICE_UNAVAILABLE, OUT_OF_MEMORY
 */
export function rand<const S extends Shape>(shape: S, options?: Float32Options): Tensor<OfRank<S>>;
export function rand<const S extends Shape, D extends DType>(
  shape: S,
  options: DTypeOptions<D>,
): Tensor<OfRank<S>, D>;
export function rand(shape: Shape, options: CreateOptions<DType> = {}): Tensor<Shape, DType> {
  return random('rand', shape, options, (target, at) => native.randomUniform(target, at, 0, 1));
}

/**
 * Normal random numbers with mean 0 and variance 1.
 * @throws INVALID_SHAPE, INVALID_ARGUMENT, UNSUPPORTED (int32), DEVICE_UNAVAILABLE, OUT_OF_MEMORY
 */
export function randn<const S extends Shape>(shape: S, options?: Float32Options): Tensor<OfRank<S>>;
export function randn<const S extends Shape, D extends DType>(
  shape: S,
  options: DTypeOptions<D>,
): Tensor<OfRank<S>, D>;
export function randn(shape: Shape, options: CreateOptions<DType> = {}): Tensor<Shape, DType> {
  return random('randn', shape, options, (target, at) => native.randomNormal(target, at, 0, 1));
}
