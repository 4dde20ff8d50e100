import { type OfRank, zeros } from '../create.js';
import { native } from '../native.js';
import { feedPosition } from '../random.js';
import type { Shape, Tensor } from '../tensor.js';

/** Initial values of parameters, from the generator that `manualSeed` seeds. */

const product = (extents: readonly number[]) => extents.reduce((total, extent) => total * extent, 1);

/** Of a weight [K, C / groups, R, S] or [K, C]: the weights that meet at one output. */
export function fanIn(shape: Shape): number {
  return product(shape.slice(1));
}
/** Of a weight [K, C / groups, R, S]: K R S, groups or not, as PyTorch counts. */
export function fanOut([outputs = 1, , ...kernel]: Shape): number {
  return outputs * product(kernel);
}

/** Normal with mean 0 and standard deviation sqrt(2 / fanOut): keeps gradients' size through ReLUs (He et al. 2015). */
export function kaimingNormal<const S extends Shape>(shape: S): Tensor<OfRank<S>> {
  const values = zeros(shape);
  using position = feedPosition(values.deviceIndex, values.size);
  native.randomNormal(values.handle, position.handle, 0, Math.sqrt(2 / fanOut(shape)));
  return values;
}

/** Uniform in [-bound, bound). */
export function uniform<const S extends Shape>(shape: S, bound: number): Tensor<OfRank<S>> {
  const values = zeros(shape);
  using position = feedPosition(values.deviceIndex, values.size);
  native.randomUniform(values.handle, position.handle, -bound, bound);
  return values;
}
