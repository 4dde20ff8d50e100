import { closeSync, fstatSync, openSync, readFileSync, readSync } from 'node:fs';
import { deviceIndex, resolveDevice } from '../device.js';
import { type DType, dtypeCode } from '../dtype.js';
import { check, GroupConvError, show } from '../errors.js';
import { type HostArray, native } from '../native.js';
import { checkOptions } from '../options.js';
import type { StateSource } from '../state.js';
import { Storage } from '../storage.js';
import { type Shape, Tensor } from '../tensor.js';
import { checkPath, writeAtomically } from './atomicFile.js';
import { type Entry, headerLength, parseHeader, parseMetadata, writeHeader } from './safetensorsHeader.js';

const names = { float32: 'F32', bfloat16: 'BF16', float16: 'F16', int32: 'I32' } as const satisfies Record<
  DType,
  string
>;

const width = ({ dtype }: Tensor<Shape, DType>) => (dtype === 'bfloat16' || dtype === 'float16' ? 2 : 4);

/** The tensor's bits as they lie in the file. Reading is queued at once: later work doesn't change what is read. */
async function bits(tensor: Tensor<Shape, DType>): Promise<HostArray> {
  const Elements = width(tensor) === 2 ? Uint16Array : tensor.dtype === 'int32' ? Int32Array : Float32Array;
  return native.read<HostArray>(tensor.handle, new Elements(tensor.size));
}

export interface SaveSafetensorsOptions {
  /** Texts to be kept in the file's header, see {@link readSafetensorsMetadata}; `format` is 'pt' unless given. */
  metadata?: Readonly<Record<string, string>>;
}

/**
 * Writes tensors to a file in the safetensors format (https://huggingface.co/docs/safetensors), readable by PyTorch
 * and others. The file appears complete or not at all: it is written under another name in the same folder and then
 * renamed. Values are those at the time of the call.
 *
 * @throws INVALID_FILE when it can't be written, INVALID_ARGUMENT (no tensor, an option, metadata that isn't text),
 *   DISPOSED, and what led to the tensors' failure
 */
export async function saveSafetensors(
  path: string,
  state: StateSource,
  options: SaveSafetensorsOptions = {},
): Promise<void> {
  checkOptions('saveSafetensors', options, ['metadata']);
  check(
    typeof state === 'object' && state !== null,
    'INVALID_ARGUMENT',
    () => `saveSafetensors: expected a Map or an object of tensors, found ${show(state)}`,
  );
  const given: [string, Tensor<Shape, DType>][] = state instanceof Map ? [...state] : Object.entries(state);
  for (const [key, value] of given) {
    check(
      value instanceof Tensor,
      'INVALID_ARGUMENT',
      () => `saveSafetensors: ${key} is not a tensor, found ${show(value)}`,
    );
    check(!value.disposed, 'DISPOSED', () => `saveSafetensors: ${key} has been disposed`);
  }
  // Wide elements first, so that all of them lie at multiples of their size.
  const entries = given.sort(([, a], [, b]) => width(b) - width(a));
  const header = writeHeader(
    entries.map(([key, { dtype, shape }]) => ({ key, dtype: names[dtype], shape })),
    options.metadata ?? {},
  );
  const data = await Promise.all(entries.map(([, tensor]) => bits(tensor)));
  await writeAtomically('saveSafetensors', path, [header, ...data]);
}

/** A copy of the bytes, aligned for its elements. */
const aligned = (bytes: Uint8Array) => new Uint8Array(bytes).buffer;

interface Reading {
  dtype: DType;
  read(bytes: Uint8Array): HostArray;
}
/** What becomes of each dtype of the format. */
const readings: Readonly<Record<string, Reading>> = {
  F32: { dtype: 'float32', read: (bytes) => new Float32Array(aligned(bytes)) },
  BF16: { dtype: 'bfloat16', read: (bytes) => new Uint16Array(aligned(bytes)) },
  F16: { dtype: 'float16', read: (bytes) => new Uint16Array(aligned(bytes)) },
  I32: { dtype: 'int32', read: (bytes) => new Int32Array(aligned(bytes)) },
  F64: { dtype: 'float32', read: (bytes) => Float32Array.from(new Float64Array(aligned(bytes))) },
  I64: { dtype: 'int32', read: (bytes) => narrow(new BigInt64Array(aligned(bytes))) },
};

function narrow(wide: BigInt64Array): Int32Array {
  const values = Int32Array.from(wide, Number);
  for (const [i, value] of values.entries())
    check(
      BigInt(value) === wide[i],
      'UNSUPPORTED',
      () => `${wide[i]} is beyond int32, the widest integer here`,
    );
  return values;
}

function toTensor(bytes: Uint8Array, { dtype, shape, begin, end }: Entry): Tensor<Shape, DType> {
  const device = resolveDevice();
  const reading = readings[dtype] as Reading;
  const values = reading.read(bytes.subarray(begin, end));
  const handle = native.upload(deviceIndex(device), shape, dtypeCode(reading.dtype), values);
  return new Tensor({
    storage: new Storage(handle),
    dtype: reading.dtype,
    device,
    shape: Object.freeze(shape),
  });
}

/**
 * Reads every tensor of a safetensors file, in the order in which they lie in it, to the default device; blocks until
 * the file is read. F32, BF16, F16 and I32 keep their dtype; F64 becomes float32; I64 becomes int32.
 *
 * ```ts
 * scope(() => model.loadStateDict(loadSafetensors('resnext50.safetensors')));
 * ```
 *
 * @throws INVALID_FILE, naming the file and what is wrong, when it is missing, truncated, contradicts itself, has
 *   another dtype or an empty tensor; UNSUPPORTED for an I64 value beyond int32; OUT_OF_MEMORY
 */
export function loadSafetensors(path: string): Map<string, Tensor<Shape, DType>> {
  checkPath('loadSafetensors', path);
  const fail = (code: 'INVALID_FILE' | 'UNSUPPORTED', what: string, cause?: unknown) =>
    new GroupConvError(code, `loadSafetensors: ${path}: ${what}`, { cause });
  let bytes: Uint8Array;
  try {
    bytes = readFileSync(path);
  } catch (cause) {
    throw fail('INVALID_FILE', (cause as Error).message, cause);
  }
  const state = new Map<string, Tensor<Shape, DType>>();
  try {
    for (const entry of parseHeader(bytes, Object.keys(readings)))
      state.set(entry.key, toTensor(bytes, entry));
  } catch (cause) {
    for (const made of state.values()) made.dispose();
    if (!(cause instanceof GroupConvError)) throw cause;
    if (cause.code === 'INVALID_FILE' || cause.code === 'UNSUPPORTED')
      throw fail(cause.code, cause.message, cause);
    throw cause;
  }
  return state;
}

/**
 * The texts that a safetensors file carries beside its tensors; empty where it has none. Only the header is read.
 *
 * groupconv's own files of trained networks say in JSON what is needed to use them: `groupconv.model` ({ name,
 * options }: the class or function that makes the network), `groupconv.input` ({ channels, height, width, mean, std })
 * and `groupconv.classes` (a list of names, by output).
 *
 * @throws INVALID_FILE, naming the file and what is wrong
 */
export function readSafetensorsMetadata(path: string): Record<string, string> {
  checkPath('readSafetensorsMetadata', path);
  try {
    return parseMetadata(readHeader(path));
  } catch (cause) {
    throw new GroupConvError(
      'INVALID_FILE',
      `readSafetensorsMetadata: ${path}: ${(cause as Error).message}`,
      { cause },
    );
  }
}

/** The file up to the first tensor's bytes, or less where it ends before. */
function readHeader(path: string): Uint8Array {
  const file = openSync(path, 'r');
  try {
    const read = (size: number) => {
      const bytes = new Uint8Array(size);
      return bytes.subarray(0, readSync(file, bytes, 0, size, 0));
    };
    return read(Math.min(headerLength(read(8)), fstatSync(file).size));
  } finally {
    closeSync(file);
  }
}
