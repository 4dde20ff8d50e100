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
}

const folder = fileURLToPath(new URL('./shapes/', import.meta.url));

/** The names of the shape files, without their ending. */
export function shapeSets(): string[] {
  return readdirSync(folder)
    .filter((file) => file.endsWith('.txt'))
    .map((file) => file.slice(0, -4))
    .sort();
}

/** Reads shapes/<name>.txt: a layer a line, `#` starts a comment. */
export function readShapes(name: string): Layer[] {
  const lines = readFileSync(join(folder, `${name}.txt`), 'utf8').split('\n');
  const layers: Layer[] = [];
  for (const [index, line] of lines.entries()) {
    const [label, ...fields] = line.replace(/#.*/, '').trim().split(/\s+/);
    if (!label) continue;
    const numbers = fields.map(Number);
    if (numbers.length !== 9 || !numbers.every(Number.isInteger))
      throw new Error(`shapes/${name}.txt:${index + 1}: expected a name and nine whole numbers`);
    const [c, h, w, k, r, s, stride, padding, groups] = numbers as [
      number,
      number,
      number,
      number,
      number,
      number,
      number,
      number,
      number,
    ];
    layers.push({ name: label, c, h, w, k, r, s, stride, padding, groups });
  }
  return layers;
}

/** [height, width] of the layer's output. */
export function outputExtents(layer: Layer): [number, number] {
  const extent = (input: number, kernel: number) =>
    Math.floor((input + 2 * layer.padding - kernel) / layer.stride) + 1;
  return [extent(layer.h, layer.r), extent(layer.w, layer.s)];
}

/** Multiply-adds of one pass; the same for all three. */
export function multiplyAdds(layer: Layer, batch: number): number {
  const [p, q] = outputExtents(layer);
  return batch * layer.k * p * q * (layer.c / layer.groups) * layer.r * layer.s;
}

/** Bytes of x, weight and y in float32: what a pass has to move at least. */
export function leastBytes(layer: Layer, batch: number): number {
  const [p, q] = outputExtents(layer);
  const weight = layer.k * (layer.c / layer.groups) * layer.r * layer.s;
  return 4 * (batch * layer.c * layer.h * layer.w + weight + batch * layer.k * p * q);
}
