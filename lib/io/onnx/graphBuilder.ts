import { type Handle, native } from '../../native.js';
import type { Shape } from '../../tensor.js';
import { type Attribute, type Constant, int64, type Node } from './graph.js';

/** A tensor of the model that keeps its key as its name. Its values are read when the graph is complete. */
export interface StateEntry {
  key: string;
  handle: Handle;
  shape: Shape;
}

/**
 * Gathers nodes while a model runs. A native tensor that follows from the model's input is a value of the graph;
 * every other one that meets such a value is a constant, whatever computed it.
 */
export class GraphBuilder {
  readonly nodes: Node[] = [];
  readonly constants = new Map<string, Constant>();
  /** Entries of the model's state that the graph uses. */
  readonly state = new Map<string, StateEntry>();
  /** The module that runs now, for the names of its nodes. */
  module = '';
  readonly #values = new Map<Handle, string>();
  readonly #constantNames = new Map<Handle, string>();
  readonly #taken: Set<string>;

  constructor(
    readonly entries: ReadonlyMap<Handle, StateEntry>,
    reserved: Iterable<string>,
    /** The version of ONNX's operators. */
    readonly opset: number,
  ) {
    this.#taken = new Set([...[...entries.values()].map(({ key }) => key), ...reserved]);
  }

  /** Makes a native tensor a value of the graph. */
  define(handle: Handle, name: string): void {
    this.#values.set(handle, name);
  }
  /** The native tensor is gone; its handle may come back as another one's. */
  forget(handle: Handle): void {
    this.#values.delete(handle);
    this.#constantNames.delete(handle);
  }
  follows(handle: Handle): boolean {
    return this.#values.has(handle);
  }
  /** Whether the graph holds what the tensor has been so far: writing to it would go unseen. */
  isFixed(handle: Handle): boolean {
    return this.follows(handle) || this.#constantNames.has(handle) || this.entries.has(handle);
  }

  /** The name of a tensor that a node takes. */
  value(handle: Handle): string {
    return this.#values.get(handle) ?? this.#constantNames.get(handle) ?? this.#addConstant(handle);
  }
  /** As value; an empty name where the tensor is absent. */
  optional(handle: Handle | null): string {
    return handle ? this.value(handle) : '';
  }
  /** The name of new values. */
  constant(role: string, shape: Shape, values: Float32Array): string {
    const name = this.#unique(role);
    this.constants.set(name, { shape, values });
    return name;
  }
  /** The name of a list of whole numbers, which ONNX wants as a tensor. */
  list(role: string, values: readonly number[]): string {
    const name = this.#unique(role);
    this.constants.set(name, int64(values));
    return name;
  }
  /** The name of a new node and of its output. Trailing absent inputs are left out. */
  node(op: string, inputs: readonly string[], attributes: Record<string, Attribute> = {}): string {
    const name = this.#unique(op);
    const last = inputs.findLastIndex((input) => input !== '');
    this.nodes.push({ op, name, inputs: inputs.slice(0, last + 1), attributes });
    return name;
  }

  #addConstant(handle: Handle): string {
    const entry = this.entries.get(handle);
    if (entry) {
      this.state.set(entry.key, entry);
      this.#constantNames.set(handle, entry.key);
      return entry.key;
    }
    const shape = native.shapeOf(handle);
    const values = new Float32Array(shape.reduce((product, extent) => product * extent, 1));
    native.readSync(handle, values);
    const name = this.constant('constant', shape, values);
    this.#constantNames.set(handle, name);
    return name;
  }
  /** `conv2_blocks.0.residual.0/Conv`, numbered from the second one on. */
  #unique(what: string): string {
    const base = this.module ? `${this.module}/${what}` : what;
    let name = base;
    for (let i = 1; this.#taken.has(name); i++) name = `${base}_${i}`;
    this.#taken.add(name);
    return name;
  }
}
