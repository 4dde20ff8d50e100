// Reads weights as TensorFlow.js keeps them: a JSON manifest and, beside it, files of bytes ("shards"). A manifest is a
// list of groups; the weights of a group lie one after the other, without gaps, in the concatenation of its shards.
// The format: https://www.tensorflow.org/js/guide/save_load and the type WeightsManifestConfig of @tensorflow/tfjs-core.
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { GroupConvError } from '../../lib/index.js';

/** A weight in TensorFlow's layout: float32 values in row-major order. */
export interface Weight {
  readonly shape: readonly number[];
  readonly values: Float32Array;
}

/** How the numbers of one weight lie in the file: so many bytes each, and the value of the one at an offset. */
interface Encoding {
  readonly bytes: number;
  read(view: DataView, offset: number): number;
}

/**
 * Reads every weight that a TensorFlow.js manifest names. A quantised integer q stands for `q * scale + min`.
 *
 * @param file - path of the manifest; its shards lie in the same folder
 * @returns the weights by name, in the manifest's order
 * @throws GroupConvError `INVALID_FILE` where a file is missing, isn't a manifest, or disagrees with its shards on sizes
 */
export async function readManifest(file: string): Promise<Map<string, Weight>> {
  const groups = parse(file, (await readOrFail(file, file)).toString('utf8'));
  const weights = new Map<string, Weight>();
  for (const group of groups) {
    const entries = list(file, group, 'weights');
    const bytes = await readShards(file, list(file, group, 'paths'));
    let offset = 0;
    for (const entry of entries) {
      const { name, shape, encoding } = describe(file, entry);
      if (weights.has(name)) throw invalid(file, `names '${name}' twice`);
      const size = shape.reduce((product, length) => product * length, 1);
      const end = offset + size * encoding.bytes;
      if (!(end <= bytes.byteLength)) {
        throw invalid(
          file,
          `'${name}' [${shape.join(', ')}] ends at byte ${end}, its shards have ${bytes.byteLength}`,
        );
      }
      weights.set(name, { shape, values: decode(bytes, offset, size, encoding) });
      offset = end;
    }
    if (offset !== bytes.byteLength) {
      throw invalid(file, `describes ${offset} bytes, its shards have ${bytes.byteLength}`);
    }
  }
  return weights;
}

function decode(bytes: Buffer, start: number, size: number, encoding: Encoding): Float32Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const values = new Float32Array(size);
  for (let i = 0; i < size; i++) values[i] = encoding.read(view, start + i * encoding.bytes);
  return values;
}

function parse(file: string, text: string): unknown[] {
  let groups: unknown;
  try {
    groups = JSON.parse(text);
  } catch (cause) {
    throw invalid(file, `is not JSON: ${(cause as Error).message}`);
  }
  if (!Array.isArray(groups)) throw invalid(file, 'is not a weights manifest: expected a list of groups');
  return groups;
}

/** The list under `key` of a group. */
function list(file: string, group: unknown, key: 'paths' | 'weights'): unknown[] {
  const value = isRecord(group) ? group[key] : undefined;
  if (!Array.isArray(value)) throw invalid(file, `has a group without a list of ${key}`);
  return value;
}

async function readShards(file: string, names: unknown[]): Promise<Buffer> {
  const shards: Buffer[] = [];
  for (const name of names) {
    // A manifest may name its neighbours only: it comes from outside and must not reach other folders.
    if (typeof name !== 'string' || name === '' || name !== path.basename(name) || name === '..') {
      throw invalid(file, `names the shard ${JSON.stringify(name)}, expected a file beside it`);
    }
    shards.push(await readOrFail(file, path.join(path.dirname(file), name)));
  }
  return Buffer.concat(shards);
}

function describe(file: string, entry: unknown): { name: string; shape: number[]; encoding: Encoding } {
  if (!isRecord(entry) || typeof entry.name !== 'string') throw invalid(file, 'has a weight without a name');
  const { name, shape } = entry;
  if (!Array.isArray(shape) || !shape.every((length) => Number.isSafeInteger(length) && length >= 0)) {
    throw invalid(file, `'${name}' has the shape ${JSON.stringify(shape)}, expected a list of sizes`);
  }
  return { name, shape, encoding: encodingOf(file, name, entry) };
}

function encodingOf(file: string, name: string, entry: Record<string, unknown>): Encoding {
  if (entry.dtype !== 'float32') {
    throw invalid(file, `'${name}' has dtype ${JSON.stringify(entry.dtype)}, expected float32`);
  }
  const quantization = entry.quantization;
  if (quantization === undefined) return { bytes: 4, read: (view, offset) => view.getFloat32(offset, true) };
  const { dtype, scale, min } = isRecord(quantization) ? quantization : {};
  if (dtype !== 'uint8' && dtype !== 'uint16') {
    throw invalid(file, `'${name}' is quantised to ${JSON.stringify(dtype)}, expected uint8 or uint16`);
  }
  if (!isFiniteNumber(scale) || !isFiniteNumber(min)) {
    throw invalid(file, `'${name}' is quantised without a finite scale and min`);
  }
  return dtype === 'uint8'
    ? { bytes: 1, read: (view, offset) => view.getUint8(offset) * scale + min }
    : { bytes: 2, read: (view, offset) => view.getUint16(offset, true) * scale + min };
}

async function readOrFail(manifest: string, file: string): Promise<Buffer> {
  try {
    return await readFile(file);
  } catch (cause) {
    throw invalid(manifest, `can't be read: ${(cause as Error).message}`);
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}

function isFiniteNumber(value: unknown): value is number {
  return Number.isFinite(value);
}

function invalid(file: string, what: string): GroupConvError {
  return new GroupConvError('INVALID_FILE', `readManifest: ${path.basename(file)} ${what}`);
}
