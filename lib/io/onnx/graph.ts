import type { Shape } from '../../tensor.js';

/**
 * A network in ONNX's vocabulary (https://onnx.ai/onnx/operators): nodes in the order of their execution, whose
 * inputs and outputs are values known by their names.
 */
export interface Graph {
  nodes: Node[];
  /** By name: what ONNX calls initializers. */
  constants: Map<string, Constant>;
  input: GraphValue;
  output: GraphValue;
}

export interface Node {
  /** ONNX's name of the operator. */
  op: string;
  /** The name of its only output, too. */
  name: string;
  /** An absent optional input is an empty name. */
  inputs: string[];
  attributes: Readonly<Record<string, Attribute>>;
}

/** A whole number, several of them, or a number marked as real. */
export type Attribute = number | readonly number[] | { readonly real: number };

export interface Constant {
  shape: Shape;
  /** float32, or ONNX's int64. */
  values: Float32Array | BigInt64Array;
}

/** An input or output of the whole graph; a dimension is an extent or the name of one that is chosen at run time. */
export interface GraphValue {
  name: string;
  shape: readonly (number | string)[];
}

export function int64(values: readonly number[]): Constant {
  return { shape: [values.length], values: BigInt64Array.from(values, BigInt) };
}
