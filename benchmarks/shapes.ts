import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** One convolution of a network; the batch is the benchmark's. */
export interface Layer {
  name: string;
  c: number;
  h: number;
  w: number;
  k: number;
  r: number;
  s: number;
  stride: number;
  padding: number;
  groups: number;
  dilation: number;
}

const fields = ['c', 'h', 'w', 'k', 'r', 's', 'stride', 'padding', 'groups', 'dilation'] as const;
const folder = fileURLToPath(new URL('./shapes/', import.meta.url));

/** The names of the shape files, without their ending. */
export function shapeSets(): string[] {
  return readdirSync(folder)
    .filter((file) => file.endsWith('.txt'))
    .map((file) => file.slice(0, -4))
    .sort();
}

/** A layer a line: a name and nine whole numbers, a tenth (dilation) where it isn't 1; `#` starts a comment. */
export function parseShapes(text: string, file = 'shapes'): Layer[] {
  const layers: Layer[] = [];
  for (const [index, line] of text.split('\n').entries()) {
    const [name, ...rest] = line.replace(/#.*/, '').trim().split(/\s+/);
    if (!name) continue;
    const numbers = rest.map(Number);
    if (numbers.length === 9) numbers.push(1);
    if (numbers.length !== 10 || !numbers.every(Number.isInteger))
      throw new Error(`${file}:${index + 1}: expected a name and nine or ten whole numbers, found "${line}"`);
    const values = Object.fromEntries(fields.map((field, at) => [field, numbers[at]]));
    layers.push({ name, ...values } as unknown as Layer);
  }
  return layers;
}

/** Reads shapes/<name>.txt. */
export function readShapes(name: string): Layer[] {
  const file = `shapes/${name}.txt`;
  return parseShapes(readFileSync(join(folder, `${name}.txt`), 'utf8'), file);
}

type Extents = Omit<Layer, 'name'>;

/** [height, width] of the layer's output. */
export function outputExtents(layer: Extents): [number, number] {
  const extent = (input: number, kernel: number) =>
    Math.floor((input + 2 * layer.padding - layer.dilation * (kernel - 1) - 1) / layer.stride) + 1;
  return [extent(layer.h, layer.r), extent(layer.w, layer.s)];
}

/** Multiply-adds of one pass; the same for all three. */
export function multiplyAdds(layer: Extents, batch: number): number {
  const [p, q] = outputExtents(layer);
  return batch * layer.k * p * q * (layer.c / layer.groups) * layer.r * layer.s;
}

/** Bytes of x, weight and y in float32: what a pass has to move at least. */
export function leastBytes(layer: Extents, batch: number): number {
  const [p, q] = outputExtents(layer);
  const weight = layer.k * (layer.c / layer.groups) * layer.r * layer.s;
  return 4 * (batch * layer.c * layer.h * layer.w + weight + batch * layer.k * p * q);
}
