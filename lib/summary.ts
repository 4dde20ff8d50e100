import { check } from './errors.js';
import type { Module } from './module.js';
import { Conv2d } from './modules/conv2d.js';
import { checkOptions } from './options.js';
import { probe } from './probe.js';
import { formatSummary } from './summaryTable.js';
import { type Shape, Tensor } from './tensor.js';

/** One call of a module's forward, as torchinfo shows it. */
export interface SummaryRow {
  /** The module's key in the model; empty for the model itself. */
  name: string;
  /** The name of its class. */
  type: string;
  depth: number;
  /** Among the rows of this depth, from 1 on. */
  index: number;
  outputShape: Shape;
  /** Parameters of the module and all below it. */
  params: number;
  trainableParams: number;
  /** Of these, those that belong to no module below it that was called. */
  ownParams: number;
  /** Multiply-adds of a module without children, else 0. */
  multAdds: number;
  isLeaf: boolean;
  /** Whether the module had been called before; its parameters count once. */
  isRecursive: boolean;
}

export interface Summary {
  rows: SummaryRow[];
  totalParams: number;
  trainableParams: number;
  /** Multiply-adds of one forward pass of the whole batch. */
  multAdds: number;
  inputBytes: number;
  /** What modules with parameters put out, twice: for forward and for backward. */
  forwardBackwardBytes: number;
  paramBytes: number;
  totalBytes: number;
  /** torchinfo's table. */
  toString(): string;
}

interface Call {
  module: Module;
  name: string;
  depth: number;
  outputShape: Shape;
}

/** Every call of a module's forward in one pass, in the order of their beginnings. */
function callsOf(model: Module, inputSize: Shape): Call[] {
  const calls: Call[] = [];
  let depth = 0;
  probe('summary', model, inputSize, ({ module, name, run }) => {
    const call: Call = { module, name, depth: depth++, outputShape: [] };
    calls.push(call);
    try {
      const y = run();
      if (y instanceof Tensor) call.outputShape = y.shape;
      return y;
    } finally {
      depth--;
    }
  });
  return calls;
}

const bytesOf: Readonly<Record<string, number>> = { float32: 4, int32: 4, bfloat16: 2, float16: 2 };
const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);
const product = (shape: Shape) => shape.reduce((total, extent) => total * extent, 1);

/** torchinfo's rule: each element of a convolution's weight and bias meets every output pixel, others each sample. */
function multAddsOf(module: Module, outputShape: Shape): number {
  const [samples = 1, , ...pixels] = outputShape;
  const isConvolution = module instanceof Conv2d || module.constructor.name.includes('Conv');
  const counted = module.namedParameters().filter(([name]) => name === 'weight' || name === 'bias');
  return sum(counted.map(([, tensor]) => tensor.size)) * samples * (isConvolution ? product(pixels) : 1);
}

function toRows(calls: readonly Call[]): SummaryRow[] {
  const seen = new Set<Module>();
  const indices: number[] = [];
  const rows = calls.map(({ module, name, depth, outputShape }): SummaryRow => {
    const parameters = module.parameters();
    const isLeaf = module.children().length === 0;
    indices[depth] = (indices[depth] ?? 0) + 1;
    const isRecursive = seen.has(module);
    seen.add(module);
    return {
      name,
      type: module.constructor.name,
      depth,
      index: indices[depth],
      outputShape,
      params: sum(parameters.map(({ size }) => size)),
      trainableParams: sum(parameters.filter(({ requiresGrad }) => requiresGrad).map(({ size }) => size)),
      ownParams: 0,
      multAdds: isLeaf ? multAddsOf(module, outputShape) : 0,
      isLeaf,
      isRecursive,
    };
  });
  for (const [i, row] of rows.entries()) {
    const below = new Set<Tensor>();
    for (let j = i + 1; j < rows.length && (rows[j] as SummaryRow).depth > row.depth; j++)
      for (const tensor of (calls[j] as Call).module.parameters()) below.add(tensor);
    row.ownParams = sum(
      (calls[i] as Call).module
        .parameters()
        .filter((tensor) => !below.has(tensor))
        .map(({ size }) => size),
    );
  }
  return rows;
}

/**
 * What a model consists of: a row for every call of a module in one forward pass (evaluation mode, no gradients, on
 * zeros), with shapes, parameters and multiply-adds. `toString()` is torchinfo's table
 * (https://github.com/TylerYep/torchinfo). The model is left as it was.
 *
 * @param inputSize [N, C, H, W]
 * @param options depth: of the rows that the table shows, 3 by default
 * @throws INVALID_ARGUMENT, and what the model's forward throws
 */
export function summary(model: Module, inputSize: Shape, options: { depth?: number } = {}): Summary {
  checkOptions('summary', options, ['depth']);
  const { depth = 3 } = options;
  check(
    Number.isInteger(depth) && depth >= 0,
    'INVALID_ARGUMENT',
    () => `summary: depth ${depth} is no whole number`,
  );
  const rows = toRows(callsOf(model, inputSize));
  const parameters = model.parameters();
  const isWeighted = (row: SummaryRow) => row.isLeaf && row.params > 0;
  const totals = {
    totalParams: sum(parameters.map(({ size }) => size)),
    trainableParams: sum(parameters.filter(({ requiresGrad }) => requiresGrad).map(({ size }) => size)),
    multAdds: sum(rows.map(({ multAdds }) => multAdds)),
    inputBytes: product(inputSize) * 4,
    forwardBackwardBytes: 2 * sum(rows.filter(isWeighted).map(({ outputShape }) => product(outputShape) * 4)),
    paramBytes: sum(parameters.map(({ size, dtype }) => size * (bytesOf[dtype] as number))),
  };
  const totalBytes = totals.inputBytes + totals.forwardBackwardBytes + totals.paramBytes;
  const result = { rows, ...totals, totalBytes };
  return { ...result, toString: () => formatSummary(result, depth) };
}
