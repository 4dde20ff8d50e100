import { checkShape } from '../../create.js';
import type { DType } from '../../dtype.js';
import { check, show } from '../../errors.js';
import { Module } from '../../module.js';
import { type Handle, native } from '../../native.js';
import { checkOptions, count, flag } from '../../options.js';
import type { Shape, Tensor } from '../../tensor.js';
import { writeAtomically } from '../atomicFile.js';
import { anyBatchShape, forAnyBatch } from './dynamicBatch.js';
import { encodeModel } from './encode.js';
import { foldBatchNorm } from './foldBatchNorm.js';
import type { Graph } from './graph.js';
import type { StateEntry } from './graphBuilder.js';
import { type Trace, trace } from './trace.js';

export interface ExportOnnxOptions {
  /** The shape of the input, the batch first: [N, C, H, W] for an image network. */
  inputShape: Shape;
  /** Whether the model takes batches of any size (dimension `N`), or of this one; true by default. */
  dynamicBatch?: boolean;
  /** The version of ONNX's operators, 13 to 21; 17 by default. */
  opset?: number;
  /** Whether a BatchNorm goes into the convolution before it; false by default: weights as in the state dict. */
  foldBatchNorm?: boolean;
  /** 'input' by default. */
  inputName?: string;
  /** 'output' by default. */
  outputName?: string;
  /** Texts to be kept in the file (metadata_props). */
  metadata?: Readonly<Record<string, string>>;
}

const known = [
  'inputShape',
  'dynamicBatch',
  'opset',
  'foldBatchNorm',
  'inputName',
  'outputName',
  'metadata',
] as const satisfies (keyof ExportOnnxOptions)[];

/** A protocol buffer ends before 2 GiB. */
const LONGEST_FILE = 2 ** 31 - 1;

/** The options with their defaults. @throws INVALID_ARGUMENT, INVALID_SHAPE */
function settle(options: ExportOnnxOptions): Required<ExportOnnxOptions> {
  checkOptions('exportOnnx', options, known);
  const {
    inputShape,
    dynamicBatch = true,
    opset = 17,
    foldBatchNorm = false,
    inputName = 'input',
    outputName = 'output',
    metadata = {},
  } = options;
  checkShape('exportOnnx', inputShape);
  check(inputShape.length > 0, 'INVALID_SHAPE', 'exportOnnx: inputShape has no batch dimension');
  count('exportOnnx', 'opset', opset, 13);
  check(
    opset <= 21,
    'INVALID_ARGUMENT',
    () => `exportOnnx: opset is a version from 13 to 21, found ${show(opset)}`,
  );
  for (const [name, value] of Object.entries({ dynamicBatch, foldBatchNorm }))
    flag('exportOnnx', name, value);
  for (const [name, value] of Object.entries({ inputName, outputName }))
    check(
      typeof value === 'string' && value !== '',
      'INVALID_ARGUMENT',
      () => `exportOnnx: ${name} is a name, found ${show(value)}`,
    );
  for (const [key, text] of Object.entries(metadata))
    check(
      typeof text === 'string',
      'INVALID_ARGUMENT',
      () => `exportOnnx: metadata ${key} is a string, found ${show(text)}`,
    );
  check(
    inputName !== outputName,
    'INVALID_ARGUMENT',
    () => `exportOnnx: input and output are both called ${inputName}`,
  );
  return { inputShape, dynamicBatch, opset, foldBatchNorm, inputName, outputName, metadata };
}

/** The model's state by native tensor; one that has several keys by its first. */
function entriesOf(state: ReadonlyMap<string, Tensor<Shape, DType>>): Map<Handle, StateEntry> {
  const entries = new Map<Handle, StateEntry>();
  for (const [key, { handle, shape }] of state)
    if (!entries.has(handle)) entries.set(handle, { key, handle, shape });
  return entries;
}

/** The state's values, read in the order of its entries; reading is queued at once. */
function readState(used: ReadonlyMap<string, StateEntry>) {
  return Promise.all(
    [...used.values()].map(async ({ key, handle, shape }) => {
      const size = shape.reduce((product, extent) => product * extent, 1);
      return [key, { shape, values: await native.read(handle, new Float32Array(size)) }] as const;
    }),
  );
}

/**
 * Writes a model as an ONNX file (https://onnx.ai), to be run elsewhere: what one forward pass does in evaluation mode,
 * whatever mode the model is in, with the state dict's keys as the names of the weights. The pass is followed operator
 * by operator, so models of any classes and code can be exported, as long as what they do doesn't depend on values.
 * Where dynamicBatch is wanted, a second pass with a larger batch shows what follows from the batch's size. The file
 * appears complete or not at all. The model is left as it was; weights are those at the time of the call.
 *
 * ```ts
 * await exportOnnx(model, 'resnext50.onnx', { inputShape: [1, 3, 224, 224] });
 * ```
 *
 * @param model takes one float32 tensor and returns one
 * @throws UNSUPPORTED where forward reads values, writes in place, draws random numbers, uses an operator that ONNX lacks
 *   (crossEntropy, batch statistics, casts), depends on the batch's size while dynamicBatch is true, or where the file
 *   would reach 2 GiB; INVALID_ARGUMENT (an option), INVALID_SHAPE, DISPOSED; INVALID_FILE when it can't be written
 */
export async function exportOnnx(model: Module, path: string, options: ExportOnnxOptions): Promise<void> {
  check(model instanceof Module, 'INVALID_ARGUMENT', 'exportOnnx: model is not a module');
  const settings = settle(options);
  const { inputShape, opset, metadata } = settings;
  const [batch = 1, ...rest] = inputShape;
  const names = { input: settings.inputName, output: settings.outputName };
  const entries = entriesOf(model.stateDict());
  for (const { key } of entries.values())
    check(
      key !== names.input && key !== names.output,
      'INVALID_ARGUMENT',
      () => `exportOnnx: ${key} is the name of a weight; choose another inputName or outputName`,
    );
  const traced = (shape: Shape) => trace(model, shape, entries, names, opset);
  const one = traced(inputShape);
  const other = settings.dynamicBatch ? traced([batch + 1, ...rest]) : one;
  const state = await readState(one.builder.state);
  const graph = graphOf(one, other, names);
  for (const [key, constant] of state) graph.constants.set(key, constant);
  const parts = encodeModel(
    model.constructor.name,
    settings.foldBatchNorm ? foldBatchNorm(graph) : graph,
    opset,
    metadata,
  );
  const size = parts.reduce((total, { byteLength }) => total + byteLength, 0);
  check(
    size <= LONGEST_FILE,
    'UNSUPPORTED',
    () => `exportOnnx: the file would have ${size} bytes; an ONNX file ends before 2 GiB`,
  );
  await writeAtomically('exportOnnx', path, parts);
}

/** Two traces with batches of different sizes, or twice the same. */
function graphOf(one: Trace, other: Trace, names: { input: string; output: string }): Graph {
  const value = (name: string, of: 'inputShape' | 'outputShape') => ({
    name,
    shape: anyBatchShape(name, one, other, of),
  });
  return {
    ...forAnyBatch(one, other),
    input: value(names.input, 'inputShape'),
    output: value(names.output, 'outputShape'),
  };
}
