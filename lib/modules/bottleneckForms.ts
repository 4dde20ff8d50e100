import { tensor } from '../create.js';
import type { DType } from '../dtype.js';
import { check } from '../errors.js';
import type { Shape, Tensor } from '../tensor.js';

/**
 * The state of a bottleneck block in its three forms, figure 3 of the ResNeXt paper. With C branches:
 *
 * | grouped (c)     | concat (b)               | aggregated (a)           | of a branch            |
 * |-----------------|--------------------------|--------------------------|------------------------|
 * | residual.0 … 5  | residual.0.‹branch›.0 … 5 | residual.0.‹branch›.0 … 5 | rows: output channels  |
 * | residual.6      | residual.1               | residual.0.‹branch›.6     | columns: input channels |
 * | residual.7, 8   | residual.2, 3            | residual.1, 2            | whole                  |
 */
export type BottleneckForm = 'grouped' | 'concat' | 'aggregated';
type State = ReadonlyMap<string, Tensor<Shape, DType>>;

export const bottleneckForms: readonly BottleneckForm[] = ['grouped', 'concat', 'aggregated'];

interface Place {
  /** Keys of the parts in this form; one where the entry is whole. */
  keys: string[];
  /** The axis along which the parts lie in the whole. */
  axis: 0 | 1;
}

/** Where a form keeps the entry that the grouped form keeps under `key`. */
function place(form: BottleneckForm, key: string, branches: number): Place {
  const [, layer, name] = /^residual\.(\d)\.([\w.]+)$/.exec(key) ?? [];
  if (form === 'grouped' || layer === undefined) return { keys: [key], axis: 0 };
  const index = Number(layer);
  const inBranches = form === 'concat' ? index < 6 : index < 7;
  if (!inBranches)
    return { keys: [`residual.${form === 'concat' ? index - 5 : index - 6}.${name}`], axis: 0 };
  const keys = Array.from({ length: branches }, (_, branch) => `residual.0.${branch}.${index}.${name}`);
  return { keys, axis: index === 6 ? 1 : 0 };
}

interface Host {
  shape: Shape;
  values: Float32Array | Int32Array;
}
const size = (shape: Shape) => shape.reduce((product, extent) => product * extent, 1);

/** The parts of equal extent along an axis: each a run of `length` values out of every `length * count`. */
function cut({ shape, values }: Host, axis: 0 | 1, count: number): Host[] {
  if (count === 1 || shape.length === 0) return Array.from({ length: count }, () => ({ shape, values }));
  const partShape = shape.map((extent, i) => (i === axis ? extent / count : extent));
  const length = size(partShape.slice(axis));
  return Array.from({ length: count }, (_, part) => {
    const own = values.slice(0, size(partShape));
    for (let run = 0; run * length < own.length; run++) {
      const start = (run * count + part) * length;
      own.set(values.subarray(start, start + length), run * length);
    }
    return { shape: partShape, values: own };
  });
}
/** The inverse of cut. A scalar (a counter) is the same in every branch. */
function paste(parts: Host[], axis: 0 | 1): Host {
  const [first, ...others] = parts as [Host, ...Host[]];
  if (others.length === 0 || first.shape.length === 0) return first;
  const shape = first.shape.map((extent, i) => (i === axis ? extent * parts.length : extent));
  const length = size(first.shape.slice(axis));
  const values =
    first.values instanceof Int32Array ? new Int32Array(size(shape)) : new Float32Array(size(shape));
  for (const [part, host] of parts.entries())
    for (let run = 0; run * length < host.values.length; run++)
      values.set(
        host.values.subarray(run * length, (run + 1) * length),
        (run * parts.length + part) * length,
      );
  return { shape, values };
}

function find(state: State, key: string): Host {
  const found = state.get(key);
  check(found, 'INVALID_ARGUMENT', () => `convertBottleneckState: ${key} is missing`);
  return { shape: found.shape, values: found.dataSync() };
}

/** The keys of the grouped form that a state in another form stands for. */
function groupedKeys(state: State, form: BottleneckForm): string[] {
  if (form === 'grouped') return [...state.keys()];
  const tail = form === 'concat' ? 5 : 6;
  return [...state.keys()].flatMap((key) => {
    const inBranch = /^residual\.0\.(\d+)\.(\d\.\w+)$/.exec(key);
    if (inBranch) return inBranch[1] === '0' ? [`residual.${inBranch[2]}`] : [];
    return [key.replace(/^residual\.(\d)/, (_, layer) => `residual.${Number(layer) + tail}`)];
  });
}

/**
 * The weights of a block in another form: new tensors, float32 or int32, under that form's keys. Also converts
 * gradients, given under the same keys. Reads values, so it waits for the device.
 *
 * @param cardinality the number of branches, the groups of the grouped form
 * @throws INVALID_ARGUMENT when an entry is missing
 */
export function convertBottleneckState(
  state: State,
  cardinality: number,
  from: BottleneckForm,
  to: BottleneckForm,
): Map<string, Tensor<Shape, DType>> {
  const converted = new Map<string, Tensor<Shape, DType>>();
  for (const key of groupedKeys(state, from)) {
    const [source, target] = [place(from, key, cardinality), place(to, key, cardinality)];
    const whole = paste(
      source.keys.map((part) => find(state, part)),
      source.axis,
    );
    for (const [i, { shape, values }] of cut(whole, target.axis, target.keys.length).entries())
      converted.set(
        target.keys[i] as string,
        values instanceof Int32Array ? tensor(values, shape) : tensor(values, shape),
      );
  }
  return converted;
}
