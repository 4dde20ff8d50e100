// Runs an ONNX file in float64, by the words of https://onnx.ai/onnx/operators: plain loops that share nothing with
// lib/, so that a test needs no other program to see what a file means.

import type { OnnxFile, OnnxNode } from './onnxFile.js';

export interface Value {
  shape: number[];
  data: Float64Array;
}

const sizeOf = (shape: readonly number[]) => shape.reduce((product, extent) => product * extent, 1);
const make = (shape: number[], at: (i: number) => number): Value => ({
  shape,
  data: Float64Array.from({ length: sizeOf(shape) }, (_, i) => at(i)),
});
const map = ({ shape, data }: Value, f: (v: number) => number): Value => ({ shape, data: data.map(f) });

/** [the product of the axes before, the axis, the product of those after] */
function around(shape: readonly number[], axis: number): [number, number, number] {
  const at = axis < 0 ? axis + shape.length : axis;
  return [sizeOf(shape.slice(0, at)), shape[at]!, sizeOf(shape.slice(at + 1))];
}

const ints = ({ attributes, op }: OnnxNode, name: string, otherwise?: number[]): number[] => {
  const found = attributes[name] ?? otherwise;
  if (!Array.isArray(found)) throw new Error(`${op} has no ${name}`);
  return found;
};
const int = ({ attributes }: OnnxNode, name: string, otherwise: number) =>
  (attributes[name] as number | undefined) ?? otherwise;

/** Calls visit(output, input or -1 in the padding, tap) for every tap of every window of one plane. */
function slide(
  node: OnnxNode,
  [h, w]: number[],
  visit: (out: number, at: number, tap: number) => void,
): number[] {
  const [kh, kw] = ints(node, 'kernel_shape') as [number, number];
  const [sh, sw] = ints(node, 'strides', [1, 1]) as [number, number];
  const [dh, dw] = ints(node, 'dilations', [1, 1]) as [number, number];
  const [top, left, bottom, right] = ints(node, 'pads', [0, 0, 0, 0]) as [number, number, number, number];
  const P = Math.floor((h! + top + bottom - dh * (kh - 1) - 1) / sh) + 1;
  const Q = Math.floor((w! + left + right - dw * (kw - 1) - 1) / sw) + 1;
  for (let out = 0; out < P * Q; out++)
    for (let tap = 0; tap < kh * kw; tap++) {
      const y = Math.floor(out / Q) * sh - top + Math.floor(tap / kw) * dh;
      const x = (out % Q) * sw - left + (tap % kw) * dw;
      visit(out, y < 0 || x < 0 || y >= h! || x >= w! ? -1 : y * w! + x, tap);
    }
  return [P, Q];
}

function conv(node: OnnxNode, [x, weight, bias]: Value[]): Value {
  const [N, C, ...plane] = x!.shape as [number, number, number, number];
  const [K, perGroup, R, S] = weight!.shape as [number, number, number, number];
  const groups = int(node, 'group', 1);
  if (C !== perGroup * groups) throw new Error(`Conv: ${C} channels, ${groups} groups of ${perGroup}`);
  const taps: [number, number, number][] = [];
  const [P, Q] = slide(node, plane, (...tap) => tap[1] >= 0 && taps.push(tap)) as [number, number];
  const y = make([N, K, P, Q], () => 0);
  for (let n = 0; n < N; n++)
    for (let k = 0; k < K; k++) {
      const to = (n * K + k) * P * Q;
      y.data.fill(bias?.data[k] ?? 0, to, to + P * Q);
      for (let i = 0; i < perGroup; i++) {
        const c = Math.floor(k / (K / groups)) * perGroup + i;
        const from = (n * C + c) * plane[0]! * plane[1]!;
        const kernel = (k * perGroup + i) * R * S;
        for (const [out, at, tap] of taps)
          y.data[to + out]! += x!.data[from + at]! * weight!.data[kernel + tap]!;
      }
    }
  return y;
}

/** Of every plane; reduce gets the values of a window, and how many taps it has, padding included. */
function pool(node: OnnxNode, x: Value, reduce: (inside: number[], taps: number) => number): Value {
  const [N, C, ...plane] = x.shape as [number, number, number, number];
  const windows: number[][] = [];
  let taps = 0;
  const [P, Q] = slide(node, plane, (out, at, tap) => {
    windows[out] ??= [];
    if (at >= 0) windows[out].push(at);
    taps = Math.max(taps, tap + 1);
  }) as [number, number];
  const area = plane[0]! * plane[1]!;
  return make([N, C, P, Q], (i) =>
    reduce(
      windows[i % (P * Q)]!.map((at) => x.data[Math.floor(i / (P * Q)) * area + at]!),
      taps,
    ),
  );
}
const mean = (values: number[], count = values.length) => values.reduce((sum, v) => sum + v, 0) / count;

function batchNorm(node: OnnxNode, [x, scale, bias, average, variance]: Value[]): Value {
  const [, C, after] = around(x!.shape, 1);
  const eps = int(node, 'epsilon', 1e-5);
  return make(x!.shape, (i) => {
    const c = Math.floor(i / after) % C;
    return (
      ((x!.data[i]! - average!.data[c]!) / Math.sqrt(variance!.data[c]! + eps)) * scale!.data[c]! +
      bias!.data[c]!
    );
  });
}

/** The index into a value that is broadcast to a shape. */
function broadcast({ shape }: Value, to: readonly number[], i: number): number {
  let index = 0;
  for (let axis = 0, rest = sizeOf(to); axis < to.length; axis++) {
    rest /= to[axis]!;
    const extent = shape[axis - to.length + shape.length];
    if (extent !== undefined) index = index * extent + (extent === 1 ? 0 : Math.floor(i / rest) % to[axis]!);
  }
  return index;
}
function spread(a: readonly number[], b: readonly number[]): number[] {
  const rank = Math.max(a.length, b.length);
  const at = (shape: readonly number[], axis: number) => shape[axis - rank + shape.length] ?? 1;
  return Array.from({ length: rank }, (_, axis) => Math.max(at(a, axis), at(b, axis)));
}

function combine(a: Value, b: Value, f: (v: number, w: number) => number): Value {
  const shape = spread(a.shape, b.shape);
  return make(shape, (i) => f(a.data[broadcast(a, shape, i)]!, b.data[broadcast(b, shape, i)]!));
}

const hardSigmoid = (alpha: number, beta: number) => (v: number) =>
  Math.max(0, Math.min(1, alpha * v + beta));

function matMul(a: Value, b: Value): Value {
  const [M, inner] = a.shape.slice(-2) as [number, number];
  const columns = b.shape.at(-1)!;
  if (b.shape.at(-2) !== inner) throw new Error(`MatMul: [${a.shape}] and [${b.shape}]`);
  const batches = spread(a.shape.slice(0, -2), b.shape.slice(0, -2));
  const start = ({ shape, data }: Value, batch: number) =>
    broadcast({ shape: shape.slice(0, -2), data }, batches, batch) * sizeOf(shape.slice(-2));
  return make([...batches, M, columns], (i) => {
    const batch = Math.floor(i / (M * columns));
    const [row, column] = [Math.floor(i / columns) % M, i % columns];
    const [from, to] = [start(a, batch) + row * inner, start(b, batch) + column];
    let sum = 0;
    for (let k = 0; k < inner; k++) sum += a.data[from + k]! * b.data[to + k * columns]!;
    return sum;
  });
}

const transpose = ({ shape, data }: Value): Value => {
  const [rows, columns] = shape as [number, number];
  return make([columns, rows], (i) => data[(i % rows) * columns + Math.floor(i / rows)]!);
};

function softmax(node: OnnxNode, x: Value, log: boolean): Value {
  const [, extent, after] = around(x.shape, int(node, 'axis', -1));
  return make(x.shape, (i) => {
    const first = Math.floor(i / (extent * after)) * extent * after + (i % after);
    let sum = 0;
    for (let k = 0; k < extent; k++) sum += Math.exp(x.data[first + k * after]!);
    return log ? x.data[i]! - Math.log(sum) : Math.exp(x.data[i]!) / sum;
  });
}

function concat(node: OnnxNode, parts: Value[]): Value {
  const shape = [...parts[0]!.shape];
  const axis = int(node, 'axis', 0);
  shape[axis] = parts.reduce((sum, part) => sum + part.shape[axis]!, 0);
  const [before] = around(shape, axis);
  const rows = Array.from({ length: before }, (_, row) =>
    parts.flatMap(({ data }) => [
      ...data.subarray((row * data.length) / before, ((row + 1) * data.length) / before),
    ]),
  );
  return { shape, data: Float64Array.from(rows.flat()) };
}

function slice(x: Value, [start, end, axis]: number[]): Value {
  const [, extent, after] = around(x.shape, axis!);
  const shape = x.shape.map((e, i) => (i === axis ? end! - start! : e));
  const run = (end! - start!) * after;
  return make(shape, (i) => x.data[Math.floor(i / run) * extent * after + start! * after + (i % run)]!);
}

function reshape(x: Value, target: ArrayLike<number>): Value {
  const shape = Array.from(target, (extent, i) => (extent === 0 ? x.shape[i]! : extent));
  const known = -sizeOf(shape);
  const full = shape.map((extent) => (extent === -1 ? x.data.length / known : extent));
  if (sizeOf(full) !== x.data.length) throw new Error(`Reshape: [${x.shape}] to [${shape}]`);
  return { shape: full, data: x.data };
}

const operators: Record<string, (node: OnnxNode, inputs: Value[]) => Value> = {
  Conv: conv,
  BatchNormalization: batchNorm,
  Relu: (_, [x]) => map(x!, (v) => Math.max(v, 0)),
  Clip: (_, [x, low, high]) => map(x!, (v) => Math.min(Math.max(v, low!.data[0]!), high!.data[0]!)),
  Add: (_, [a, b]) => combine(a!, b!, (v, w) => v + w),
  Mul: (_, [a, b]) => combine(a!, b!, (v, w) => v * w),
  Sigmoid: (_, [x]) => map(x!, (v) => 1 / (1 + Math.exp(-v))),
  HardSigmoid: (node, [x]) => map(x!, hardSigmoid(int(node, 'alpha', 0.2), int(node, 'beta', 0.5))),
  HardSwish: (_, [x]) => map(x!, (v) => v * hardSigmoid(1 / 6, 0.5)(v)),
  MaxPool: (node, [x]) => pool(node, x!, (inside) => Math.max(...inside)),
  AveragePool: (node, [x]) =>
    pool(node, x!, (inside, taps) => mean(inside, int(node, 'count_include_pad', 0) ? taps : inside.length)),
  GlobalAveragePool: (_, [x]) => {
    const area = sizeOf(x!.shape.slice(2));
    return make([x!.shape[0]!, x!.shape[1]!, 1, 1], (i) =>
      mean([...x!.data.subarray(i * area, (i + 1) * area)]),
    );
  },
  Flatten: (node, [x]) => reshape(x!, [sizeOf(x!.shape.slice(0, int(node, 'axis', 1))), -1]),
  Reshape: (_, [x, shape]) => reshape(x!, shape!.data),
  Gemm: (node, [a, b, c]) => {
    const y = matMul(a!, int(node, 'transB', 0) ? transpose(b!) : b!);
    return c ? make(y.shape, (i) => y.data[i]! + c.data[broadcast(c, y.shape, i)]!) : y;
  },
  MatMul: (_, [a, b]) => matMul(a!, b!),
  Transpose: (_, [x]) => transpose(x!),
  Concat: concat,
  Slice: (_, [x, ...lists]) =>
    slice(
      x!,
      lists.map(({ data }) => data[0]!),
    ),
  Softmax: (node, [x]) => softmax(node, x!, false),
  LogSoftmax: (node, [x]) => softmax(node, x!, true),
  Identity: (_, [x]) => x!,
};

/** The output for one input. */
export function evaluate(file: OnnxFile, x: Value): Value {
  const values = new Map<string, Value>([[file.inputs[0]!.name, x]]);
  for (const [name, { shape, values: data }] of file.constants)
    values.set(name, {
      shape,
      data: data instanceof Float32Array ? Float64Array.from(data) : Float64Array.from(data, Number),
    });
  for (const node of file.nodes) {
    const run = operators[node.op];
    if (!run) throw new Error(`${node.op} is not known here`);
    const inputs = node.inputs.map((name) => {
      const found = values.get(name);
      if (!found) throw new Error(`${node.name} takes ${name}, which isn't there`);
      return found;
    });
    values.set(node.outputs[0]!, run(node, inputs));
  }
  return values.get(file.outputs[0]!.name)!;
}
