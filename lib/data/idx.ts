import { createGunzip } from 'node:zlib';
import { GroupConvError } from '../errors.js';
import { fileBytes, invalidFile } from './files.js';

/**
 * The IDX format of the MNIST family: two zero bytes, the code of the elements' type, the number of dimensions, each
 * dimension as a 32-bit number, then the elements; everything big-endian.
 */

export type IdxData = Uint8Array | Int8Array | Int16Array | Int32Array | Float32Array | Float64Array;

/** An array in an IDX file. */
export interface IdxArray {
  readonly shape: readonly number[];
  /** Row-major. */
  readonly data: IdxData;
}

interface ElementType {
  bytes: number;
  make(buffer: ArrayBuffer): IdxData;
}
const types = new Map<number, ElementType>([
  [0x08, { bytes: 1, make: (buffer) => new Uint8Array(buffer) }],
  [0x09, { bytes: 1, make: (buffer) => new Int8Array(buffer) }],
  [0x0b, { bytes: 2, make: (buffer) => new Int16Array(buffer) }],
  [0x0c, { bytes: 4, make: (buffer) => new Int32Array(buffer) }],
  [0x0d, { bytes: 4, make: (buffer) => new Float32Array(buffer) }],
  [0x0e, { bytes: 8, make: (buffer) => new Float64Array(buffer) }],
]);

interface Header {
  type: ElementType;
  shape: number[];
  begin: number;
  /** Where the elements end: the size of a sound file. */
  end: number;
}

const hex = (byte: number) => `0x${byte.toString(16).padStart(2, '0')}`;

function parseHeader(path: string, bytes: Uint8Array): Header {
  const fail = (offset: number, what: string) => invalidFile('readIdx', path, offset, what);
  if (bytes.length < 4) throw fail(bytes.length, 'the file ends inside of its header');
  const [zero, zeroToo, code = 0, rank = 0] = bytes;
  if (zero !== 0 || zeroToo !== 0) throw fail(0, 'not an IDX file: it begins with two zero bytes');
  const type = types.get(code);
  if (!type) throw fail(2, `element type ${hex(code)}, known are ${[...types.keys()].map(hex).join(', ')}`);
  if (rank === 0) throw fail(3, 'an array without dimensions');
  const begin = 4 + 4 * rank;
  if (bytes.length < begin)
    throw fail(bytes.length, `the file ends inside of its header of ${begin} bytes (${rank} dimensions)`);
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const shape = Array.from({ length: rank }, (_, axis) => view.getUint32(4 + 4 * axis));
  const empty = shape.indexOf(0);
  if (empty >= 0) throw fail(4 + 4 * empty, `dimension ${empty} is 0`);
  return { type, shape, begin, end: begin + shape.reduce((size, extent) => size * extent, type.bytes) };
}

/** deflate makes nothing more than 1032 times smaller. */
const MOST_INFLATION = 1032;

/** The contents of gzip data, given up as soon as they contradict the header they begin with. */
async function inflate(path: string, compressed: Uint8Array): Promise<Uint8Array> {
  const gunzip = createGunzip({ chunkSize: 1 << 20 });
  gunzip.end(compressed);
  const chunks: Uint8Array[] = [];
  let size = 0;
  let expected = 0;
  try {
    for await (const chunk of gunzip as AsyncIterable<Uint8Array>) {
      if (size === 0) {
        expected = parseHeader(path, chunk).end;
        if (expected > compressed.length * MOST_INFLATION)
          throw truncated(path, compressed.length * MOST_INFLATION, expected);
      }
      size += chunk.length;
      chunks.push(chunk);
      if (size > expected) throw overlong(path, expected);
    }
  } catch (cause) {
    if (cause instanceof GroupConvError) throw cause;
    const message = (cause as Error).message;
    throw invalidFile('readIdx', path, gunzip.bytesWritten, `the gzip data is broken: ${message}`, cause);
  }
  return Buffer.concat(chunks, size);
}

function truncated(path: string, size: number, expected: number) {
  return invalidFile('readIdx', path, size, `the contents end here, the header says at ${expected}`);
}
function overlong(path: string, expected: number) {
  return invalidFile('readIdx', path, expected, 'the contents go on after the end that the header says');
}

/** Big-endian elements as this machine's, in memory of their own. */
function decode(bytes: Uint8Array, { bytes: width, make }: ElementType): IdxData {
  const copy = Buffer.from(
    bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length) as ArrayBuffer,
  );
  if (width === 2) copy.swap16();
  if (width === 4) copy.swap32();
  if (width === 8) copy.swap64();
  return make(copy.buffer);
}

/**
 * Reads an IDX file (http://yann.lecun.com/exdb/mnist/), compressed by gzip or not.
 * @throws INVALID_FILE, naming the file and the byte, when it is missing, truncated or contradicts itself
 */
export async function readIdx(path: string): Promise<IdxArray> {
  const raw = await fileBytes('readIdx', path);
  const bytes = raw[0] === 0x1f && raw[1] === 0x8b ? await inflate(path, raw) : raw;
  const { type, shape, begin, end } = parseHeader(path, bytes);
  if (bytes.length < end) throw truncated(path, bytes.length, end);
  if (bytes.length > end) throw overlong(path, end);
  return { shape, data: decode(bytes.subarray(begin), type) };
}
