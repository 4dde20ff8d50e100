// Golden files made by PyTorch (make.py) and the generator of their inputs. Independent of lib/, so that tests of lib/ aren't circular.

import { readFileSync } from 'node:fs';

export type GoldenDType = 'F32' | 'F64' | 'I32';

export interface GoldenTensor {
  readonly dtype: GoldenDType;
  readonly shape: readonly number[];
  readonly data: Float32Array | Float64Array | Int32Array;
}

/** An input as the JSON files describe it: float32(offset + scale * hashed(seed)). */
export interface GoldenInput {
  readonly shape: readonly number[];
  readonly seed: number;
  readonly scale?: number;
  readonly offset?: number;
}

/** `size` float32 values in [-1, 1]: the "lowbias32" hash over seed * golden ratio + index; equal bits in hashed.py. */
export function hashed(seed: number, size: number): Float32Array {
  const start = Math.imul(seed, 0x9e3779b1);
  const values = new Float32Array(size);
  for (let index = 0; index < size; index++) {
    let z = (start + index) | 0;
    z = Math.imul(z ^ (z >>> 16), 0x21f0aaad);
    z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
    z ^= z >>> 15;
    values[index] = (z >>> 0) / 2 ** 31 - 1;
  }
  return values;
}

export function hashedInput({ shape, seed, scale = 1, offset = 0 }: GoldenInput): Float32Array {
  return hashed(seed, sizeOf(shape)).map((h) => offset + scale * h);
}

/** One entry of a state dict, by its name and shape alone: the table in README.md. Entry i of a state has seed `state + i`. */
export function hashedParameter(key: string, shape: readonly number[], seed: number): Float32Array {
  const h = hashed(seed, sizeOf(shape));
  const name = key.slice(key.lastIndexOf('.') + 1);
  const fanIn = sizeOf(shape.slice(1));
  if (name === 'num_batches_tracked') return h.fill(0);
  if (name === 'weight' && shape.length === 4) return h.map((v) => Math.sqrt(6 / fanIn) * v);
  if (name === 'weight' && shape.length === 2) return h.map((v) => Math.sqrt(1 / fanIn) * v);
  if (name === 'weight') return h.map((v) => 1 + 0.2 * v);
  if (name === 'bias' || name === 'running_mean') return h.map((v) => 0.1 * v);
  if (name === 'running_var') return h.map((v) => 1 + 0.5 * Math.abs(v));
  throw new Error(`no rule for ${key} [${shape.join(', ')}]`);
}

/** The parsed `<name>.json` of this folder. */
export function loadCases<T>(name: string): T {
  return JSON.parse(readFileSync(new URL(`${name}.json`, import.meta.url), 'utf8')) as T;
}

/** The tensors of `<name>.safetensors` of this folder; several names give one map. */
export function loadGolden(...names: string[]): Map<string, GoldenTensor> {
  return new Map(
    names.flatMap((name) => [...readSafetensors(new URL(`${name}.safetensors`, import.meta.url))]),
  );
}

/** ||actual - expected|| / ||expected||, Euclidean; 0 where both are zero, NaN where a value is. */
export function relativeError(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (actual.length !== expected.length)
    throw new Error(`${actual.length} values, expected ${expected.length}`);
  let difference = 0;
  let norm = 0;
  for (let i = 0; i < expected.length; i++) {
    difference += (actual[i]! - expected[i]!) ** 2;
    norm += expected[i]! ** 2;
  }
  return difference === 0 ? 0 : Math.sqrt(difference / norm);
}

interface Entry {
  readonly dtype: GoldenDType;
  readonly shape: number[];
  readonly data_offsets: [number, number];
}

const views = { F32: Float32Array, F64: Float64Array, I32: Int32Array };

/** 8 bytes of header length (little-endian), a JSON header, then the data. */
function readSafetensors(file: URL): [string, GoldenTensor][] {
  const bytes = new Uint8Array(readFileSync(file));
  const headerEnd = 8 + Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, headerEnd))) as Record<string, Entry>;
  return Object.entries(header).map(
    ([
      key,
      {
        dtype,
        shape,
        data_offsets: [begin, end],
      },
    ]) => {
      const data = new views[dtype](bytes.slice(headerEnd + begin, headerEnd + end).buffer);
      if (data.length !== sizeOf(shape))
        throw new Error(`${file.pathname}: ${key} has ${data.length} values`);
      return [key, { dtype, shape, data }];
    },
  );
}

function sizeOf(shape: readonly number[]): number {
  return shape.reduce((product, length) => product * length, 1);
}
