import type { FloatDType } from '../dtype.js';
import { check, show } from '../errors.js';
import { native } from '../native.js';
import { count } from '../options.js';
import { inputCheck, record } from '../record.js';
import { Storage } from '../storage.js';
import type { Shape, Tensor } from '../tensor.js';

const checkSplit = inputCheck('split', ['x']);

/** The axis counted from the front. @throws INVALID_ARGUMENT */
function axisOf(name: string, axis: number, rank: number): number {
  check(
    Number.isInteger(axis) && axis >= -rank && axis < rank,
    'INVALID_ARGUMENT',
    () => `${name}: axis is a whole number from ${-rank} to ${rank - 1}, found ${show(axis)}`,
  );
  return axis < 0 ? axis + rank : axis;
}

/** A tensor of x's rank. */
type SameRank<S extends Shape> = { readonly [Axis in keyof S]: number };

/**
 * Tensors joined along one axis; all other extents are equal. As torch.cat.
 *
 * @param axis 1 (channels) by default; counted from the end when negative
 * @throws INVALID_ARGUMENT (no tensors, axis), INVALID_SHAPE, DISPOSED, UNSUPPORTED (dtype)
 */
export function concat<S extends Shape, D extends FloatDType = 'float32'>(
  tensors: readonly Tensor<S, D>[],
  axis = 1,
): Tensor<SameRank<S>, D> {
  check(
    Array.isArray(tensors) && tensors.length > 0,
    'INVALID_ARGUMENT',
    'concat: expected a list of at least one tensor',
  );
  inputCheck(
    'concat',
    tensors.map((_, i) => `tensor ${i}`),
  )(...tensors);
  const inputs = tensors as unknown as readonly [Tensor<S, D>, ...Tensor<S, D>[]];
  const along = axisOf('concat', axis, inputs[0].rank);
  const extents = tensors.map((x) => x.shape[along] ?? 0);
  const joined = native.concat(
    tensors.map((x) => x.handle),
    along,
  );
  return record<SameRank<S>, D>('concat', joined, inputs, () => (dy, slots) => {
    let begin = 0;
    for (const [i, extent] of extents.entries()) {
      const slot = slots[i];
      if (slot) {
        const part = new Storage(native.slice(dy.handle, along, begin, extent));
        slot.pass(part);
        part.release();
      }
      begin += extent;
    }
  });
}

/**
 * A tensor cut along one axis, the reverse of concat. As torch.split.
 *
 * @param sizes the extents of the parts, or one extent for all of them but perhaps the last
 * @param axis 1 (channels) by default; counted from the end when negative
 * @throws INVALID_ARGUMENT (axis, sizes), INVALID_SHAPE (sizes don't add up), DISPOSED, UNSUPPORTED (dtype)
 */
export function split<S extends Shape, D extends FloatDType = 'float32'>(
  x: Tensor<S, D>,
  sizes: number | readonly number[],
  axis = 1,
): Tensor<SameRank<S>, D>[] {
  checkSplit(x);
  const along = axisOf('split', axis, x.rank);
  const extent = x.shape[along] ?? 0;
  const extents: readonly number[] =
    typeof sizes === 'number' ? evenly(extent, count('split', 'size', sizes)) : sizes;
  check(
    Array.isArray(extents),
    'INVALID_ARGUMENT',
    () => `split: sizes is a number or a list of numbers, found ${show(sizes)}`,
  );
  for (const size of extents) count('split', 'size', size);
  const total = extents.reduce((sum, size) => sum + size, 0);
  check(
    total === extent,
    'INVALID_SHAPE',
    () => `split: sizes [${extents.join(', ')}] add up to ${total}, axis ${along} of x has ${extent}`,
  );
  let begin = 0;
  return extents.map((size) => {
    const part = slice(x, along, begin, size);
    begin += size;
    return part;
  });
}

/** What of x lies from `begin` on along an axis, all three checked by the caller. @internal */
export function slice<S extends Shape, D extends FloatDType = 'float32'>(
  x: Tensor<S, D>,
  axis: number,
  begin: number,
  size: number,
): Tensor<SameRank<S>, D> {
  const part = native.slice(x.handle, axis, begin, size);
  return record<SameRank<S>, D>('split', part, [x], () => (dy, [dx]) => {
    if (dx) native.sliceGrad(dy.handle, axis, begin, ...dx.target());
  });
}

function evenly(extent: number, size: number): number[] {
  return Array.from({ length: Math.ceil(extent / size) }, (_, i) => Math.min(size, extent - i * size));
}
