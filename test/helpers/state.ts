import { createHash } from 'node:crypto';
import type { ExecutionContext } from 'ava';
import { type DType, type Module, type Shape, type Tensor, tensor } from '../../lib/index.js';
import { hashedParameter, relativeError } from '../golden/golden.js';

/** Fills a module with the golden files' state: entry i has seed `seed + i`. Entries are matched by position. */
export function fillState(
  t: ExecutionContext,
  module: Module,
  seed: number,
  entries?: [string, number[]][],
): void {
  const state = [...module.stateDict()];
  if (entries)
    t.deepEqual(
      state.map(([key, { shape }]) => [key.slice(key.lastIndexOf('.') + 1), shape]),
      entries.map(([key, shape]) => [key.slice(key.lastIndexOf('.') + 1), shape]),
    );
  const filled = state.map(([key, { shape, dtype }], i): [string, Tensor<Shape, DType>] => {
    const values = hashedParameter(key, shape, seed + i);
    return [key, dtype === 'int32' ? tensor(Int32Array.from(values), shape) : tensor(values, shape)];
  });
  module.loadStateDict(new Map(filled));
  for (const [, made] of filled) made.dispose();
}

/** The relative error (2-norm) is at most `limit`. */
export function close(
  t: ExecutionContext,
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  limit: number,
  what: string,
): void {
  const error = relativeError(actual, expected);
  t.true(error <= limit, `${what}: relative error ${error}, at most ${limit} is allowed`);
}

/** The state's keys, each with a digest of its values: equal where every bit is. */
export function digest(module: Module): Record<string, string> {
  const of = (values: Uint8Array) => createHash('sha1').update(values).digest('hex');
  const bytes = ({ buffer, byteOffset, byteLength }: ArrayBufferView) =>
    new Uint8Array(buffer, byteOffset, byteLength);
  return Object.fromEntries(
    [...module.stateDict()].map(([key, value]) => [key, of(bytes(value.dataSync()))]),
  );
}
