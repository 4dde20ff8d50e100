import { isDeepStrictEqual } from 'node:util';
import { GroupConvError } from '../../errors.js';
import type { Shape } from '../../tensor.js';
import { type Constant, type Graph, int64, type Node } from './graph.js';
import type { Trace } from './trace.js';

/** The name of a batch's size, as PyTorch's exporter calls it by custom. */
const BATCH = 'N';

const depends = (what: string) =>
  new GroupConvError(
    'UNSUPPORTED',
    `exportOnnx: ${what} for another batch size; dynamicBatch: false exports it for this one`,
  );

/**
 * What holds for every batch size, from what a model did with two of them: where a graph differs between the two, it
 * must be in the target of a Reshape, where one extent may be left to be computed.
 *
 * @throws UNSUPPORTED where the graph itself depends on the batch
 */
export function forAnyBatch(one: Trace, other: Trace): Pick<Graph, 'nodes' | 'constants'> {
  const [a, b] = [one.builder, other.builder];
  if (a.nodes.length !== b.nodes.length) throw depends('forward runs other operators');
  const constants = new Map(a.constants);
  for (const [i, node] of a.nodes.entries()) {
    const twin = b.nodes[i] as Node;
    const { name } = node;
    if (!isDeepStrictEqual(node, twin)) throw depends(`${name} (${node.op}) is another`);
    for (const [at, input] of node.inputs.entries()) {
      const [mine, its] = [a.constants.get(input), b.constants.get(input)];
      if (isDeepStrictEqual(mine, its)) continue;
      const isTarget = node.op === 'Reshape' && at === 1;
      if (!mine || !its || !isTarget) throw depends(`${name} (${node.op}) takes another ${input}`);
      constants.set(input, anyBatchTarget(name, mine, its));
    }
  }
  return { nodes: a.nodes, constants };
}

/** The target of a Reshape, with -1 for the only extent that differs. */
function anyBatchTarget(name: string, one: Constant, other: Constant): Constant {
  const [shape, twin] = [one, other].map(({ values }) => Array.from(values, Number)) as [number[], number[]];
  const target = shape.map((extent, axis) => (extent === twin[axis] ? extent : -1));
  if (shape.length !== twin.length || target.filter((extent) => extent === -1).length > 1)
    throw depends(`${name} (Reshape) takes [${shape.join(', ')}] here, [${twin.join(', ')}]`);
  return int64(target);
}

/** The dimensions of a graph's input or output: those that grow with the batch by its name. */
export function anyBatchShape(name: string, one: Trace, other: Trace, of: 'inputShape' | 'outputShape') {
  const [shape, twin] = [one[of], other[of]] as [Shape, Shape];
  return shape.map((extent, axis) => {
    if (extent === twin[axis]) return extent;
    if (extent === one.inputShape[0] && twin[axis] === other.inputShape[0]) return BATCH;
    throw depends(`the ${axis + 1}. extent of ${name} is ${extent} here, ${twin[axis]}`);
  });
}
