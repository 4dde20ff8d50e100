import { check, GroupConvError } from '../errors.js';
import type { Shape } from '../tensor.js';

/**
 * A safetensors file: the header's length in 8 bytes (little-endian), the header (JSON, padded with spaces), the
 * tensors' bytes without gaps. The header says of each tensor `{ dtype, shape, data_offsets: [begin, end] }`.
 */

/** A tensor in a file; begin and end are positions in the whole file, in bytes. */
export interface Entry {
  key: string;
  dtype: string;
  shape: number[];
  begin: number;
  end: number;
}

/** Bytes of an element. */
const widths: Readonly<Record<string, number>> = { F64: 8, I64: 8, F32: 4, I32: 4, BF16: 2, F16: 2 };

/** The reference implementation reads no longer ones. */
const LONGEST_HEADER = 100_000_000;
const MAX_RANK = 6;
const METADATA = '__metadata__';

const size = (shape: Shape) => shape.reduce((product, extent) => product * extent, 1);
const show = (value: unknown) => JSON.stringify(value)?.slice(0, 80);

/** The file up to the first tensor's bytes, for tensors that follow in this order. @throws INVALID_ARGUMENT */
export function writeHeader(
  tensors: readonly { key: string; dtype: string; shape: Shape }[],
  metadata: Readonly<Record<string, string>>,
): Uint8Array {
  for (const [key, text] of Object.entries(metadata))
    check(
      typeof text === 'string',
      'INVALID_ARGUMENT',
      () => `saveSafetensors: metadata ${key} is a string, found ${show(text)}; JSON.stringify it`,
    );
  let end = 0;
  const parts = [`"${METADATA}":${JSON.stringify({ format: 'pt', ...metadata })}`];
  // Text, not an object: its keys would be reordered where they look like numbers.
  for (const { key, dtype, shape } of tensors) {
    check(key !== METADATA, 'INVALID_ARGUMENT', `saveSafetensors: a tensor can't be called ${METADATA}`);
    const begin = end;
    end += size(shape) * (widths[dtype] as number);
    parts.push(`${JSON.stringify(key)}:${JSON.stringify({ dtype, shape, data_offsets: [begin, end] })}`);
  }
  const json = new TextEncoder().encode(`{${parts.join(',')}}`);
  const length = Math.ceil(json.length / 8) * 8;
  const header = new Uint8Array(8 + length).fill(0x20);
  new DataView(header.buffer).setBigUint64(0, BigInt(length), true);
  header.set(json, 8);
  return header;
}

/** The format's rules, each breach an INVALID_FILE that says what is wrong. */
function must(condition: unknown, what: () => string): asserts condition {
  check(condition, 'INVALID_FILE', what);
}

function parseJson(text: Uint8Array): Record<string, unknown> {
  let header: unknown;
  try {
    header = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(text));
  } catch (cause) {
    throw new GroupConvError('INVALID_FILE', `the header is not JSON: ${(cause as Error).message}`, {
      cause,
    });
  }
  must(isRecord(header), () => 'the header is not a JSON object');
  return header;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

function parseEntry(
  key: string,
  value: unknown,
  dataBegin: number,
  fileEnd: number,
  dtypes: readonly string[],
): Entry {
  const { dtype, shape, data_offsets: offsets } = isRecord(value) ? value : {};
  must(
    typeof dtype === 'string' && dtypes.includes(dtype),
    () => `${key} has dtype ${show(dtype)}, known are ${dtypes.join(', ')}`,
  );
  must(
    Array.isArray(shape) &&
      shape.length <= MAX_RANK &&
      shape.every((extent) => isCount(extent) && extent > 0),
    () => `${key} has shape ${show(shape)}, expected at most ${MAX_RANK} extents from 1 on`,
  );
  must(
    Array.isArray(offsets) && offsets.length === 2 && offsets.every(isCount),
    () => `${key} has data_offsets ${show(offsets)}, expected [begin, end]`,
  );
  const [begin, end] = offsets.map((offset) => dataBegin + offset) as [number, number];
  must(end <= fileEnd, () => `${key} ends at byte ${end}, the file at ${fileEnd}`);
  const bytes = size(shape) * (widths[dtype] as number);
  must(
    end - begin === bytes,
    () => `${key} is ${dtype} [${shape.join(', ')}] of ${bytes} bytes, its data_offsets span ${end - begin}`,
  );
  return { key, dtype, shape: [...shape], begin, end };
}

/** Where the header of a file ends, from the file's first 8 bytes. @throws INVALID_FILE */
export function headerLength(file: Uint8Array): number {
  must(file.length >= 8, () => `${file.length} bytes are too few for a safetensors file`);
  const length = new DataView(file.buffer, file.byteOffset, 8).getBigUint64(0, true);
  must(
    length <= BigInt(LONGEST_HEADER),
    () => `the header has ${length} bytes, at most ${LONGEST_HEADER} are read`,
  );
  return 8 + Number(length);
}

function readJson(file: Uint8Array): Record<string, unknown> {
  const end = headerLength(file);
  must(end <= file.length, () => `the header ends at byte ${end}, the file at ${file.length}`);
  return parseJson(file.subarray(8, end));
}

/** The texts beside the tensors. @throws INVALID_FILE */
export function parseMetadata(file: Uint8Array): Record<string, string> {
  const metadata = readJson(file)[METADATA] ?? {};
  must(isRecord(metadata), () => `${METADATA} is ${show(metadata)}, expected an object`);
  for (const [key, text] of Object.entries(metadata))
    must(typeof text === 'string', () => `${METADATA} has ${show(text)} for ${key}, expected a text`);
  return metadata as Record<string, string>;
}

/** The tensors of a file, by position. @throws INVALID_FILE */
export function parseHeader(file: Uint8Array, dtypes: readonly string[]): Entry[] {
  const dataBegin = headerLength(file);
  const header = readJson(file);
  const entries = Object.entries(header)
    .filter(([key]) => key !== METADATA)
    .map(([key, value]) => parseEntry(key, value, dataBegin, file.length, dtypes))
    .sort((a, b) => a.begin - b.begin);
  let position = dataBegin;
  let before = 'the header';
  for (const { key, begin, end } of entries) {
    must(begin >= position, () => `${key} begins at byte ${begin}, inside of ${before}`);
    must(
      begin === position,
      () => `nothing is said of bytes ${position} to ${begin}, between ${before} and ${key}`,
    );
    position = end;
    before = key;
  }
  must(
    position === file.length,
    () => `nothing is said of bytes ${position} to ${file.length}, after ${before}`,
  );
  return entries;
}
