import { types } from 'node:util';
import { check, GroupConvError } from '../../errors.js';
import type { Module } from '../../module.js';
import { type Handle, type Native, type NativeObserver, observeNative } from '../../native.js';
import { type ForwardCall, probe } from '../../probe.js';
import { type Shape, Tensor } from '../../tensor.js';
import { GraphBuilder, type StateEntry } from './graphBuilder.js';
import { exporters } from './operators.js';

/** What a model did with an input of one shape. */
export interface Trace {
  builder: GraphBuilder;
  inputShape: Shape;
  outputShape: Shape;
}

type Op = keyof Native;

/** Neither computes nor writes. */
const harmless: readonly Op[] = ['shapeOf', 'empty', 'upload'];
/** Results that differ from one run to the next. */
const random: readonly Op[] = ['randomUniform', 'randomNormal', 'dropout'];
const reading: readonly Op[] = ['read', 'readSync'];

const unsupported = (what: string) => new GroupConvError('UNSUPPORTED', `exportOnnx: ${what}`);

/** What the user calls an operator, where the addon's name says less. */
const spoken: Readonly<Partial<Record<Op, string>>> = {
  batchNormTrain: "batchNorm by the batch's own statistics",
  cast: 'a cast to another dtype',
};

const isHandle = (value: unknown): value is Handle => types.isExternal(value);

/** Turns calls of the addon into nodes. @throws UNSUPPORTED */
function follow(builder: GraphBuilder): NativeObserver {
  return (op, args, result) => {
    const inputs = args.flat().filter(isHandle);
    const where = builder.module ? ` in ${builder.module}` : '';
    if (harmless.includes(op)) return;
    if (op === 'release') return builder.forget(args[0] as Handle);
    if (random.includes(op)) throw unsupported(`forward draws random numbers (${op}${where})`);
    const depends = inputs.some((input) => builder.follows(input));
    if (reading.includes(op)) {
      if (depends)
        throw unsupported(`forward reads values${where}: what it does with them a graph can't know`);
      return;
    }
    const [target] = inputs; // of operators that write in place: they return nothing
    if (result === undefined && target) {
      if (depends || builder.isFixed(target))
        throw unsupported(`forward writes to a tensor in place (${op}${where}), which a graph can't`);
      return;
    }
    if (!depends) return; // the result is a constant
    const exporter = exporters[op] as ((graph: GraphBuilder, ...args: unknown[]) => string) | undefined;
    if (!exporter) throw unsupported(`${spoken[op] ?? op}${where} has no counterpart in ONNX here`);
    builder.define(result as Handle, exporter(builder, ...args));
  };
}

/** An observer whose first error is kept: thrown inside of a model it could be caught there, or get lost. */
function keepingErrors(observer: NativeObserver): { observer: NativeObserver; error: unknown } {
  const state: { observer: NativeObserver; error: unknown } = {
    error: null,
    observer(...call) {
      try {
        if (state.error === null) observer(...call);
      } catch (error) {
        state.error = error;
      }
    },
  };
  return state;
}

/**
 * Follows one forward pass of a model, in evaluation mode, on an input of this shape: the graph of what is computed
 * from the input. The model's code may be anything; it is as it was afterwards.
 *
 * @throws UNSUPPORTED where forward does what a graph can't, DISPOSED, and what the model's forward throws
 */
export function trace(
  model: Module,
  inputShape: Shape,
  entries: ReadonlyMap<Handle, StateEntry>,
  names: { input: string; output: string },
  opset: number,
): Trace {
  const builder = new GraphBuilder(entries, Object.values(names), opset);
  const found: Trace = { builder, inputShape, outputShape: [] };
  const around = ({ name, module, x, run }: ForwardCall): unknown => {
    if (module === model) builder.define(x.handle, names.input);
    const outer = builder.module;
    builder.module = name;
    try {
      const y = run();
      if (module !== model) return y;
      check(y instanceof Tensor, 'UNSUPPORTED', 'exportOnnx: forward must return one tensor');
      found.outputShape = y.shape;
      nameOutput(builder, y.handle, names.output);
      return y;
    } finally {
      builder.module = outer;
    }
  };
  const watch = keepingErrors(follow(builder));
  try {
    observeNative(watch.observer, () => probe('exportOnnx', model, inputShape, around));
  } catch (error) {
    throw watch.error ?? error;
  }
  if (watch.error !== null) throw watch.error;
  return found;
}

/** Gives what the model returns the name that the user wants. */
function nameOutput(builder: GraphBuilder, handle: Handle, wanted: string): void {
  const name = builder.value(handle);
  const last = builder.nodes.find((node) => node.name === name);
  if (!last) {
    builder.nodes.push({ op: 'Identity', name: wanted, inputs: [name], attributes: {} });
    return;
  }
  last.name = wanted;
  for (const node of builder.nodes)
    node.inputs = node.inputs.map((input) => (input === name ? wanted : input));
}
