import type { Graph, Node } from './graph.js';

/** The nodes that take each value. */
function consumersOf({ nodes, output }: Graph): Map<string, number> {
  const consumers = new Map([[output.name, 1]]);
  for (const { inputs } of nodes)
    for (const input of inputs) consumers.set(input, (consumers.get(input) ?? 0) + 1);
  return consumers;
}

/**
 * Folds every BatchNormalization that alone follows a convolution into that convolution's weight and bias:
 * weight' = weight s, bias' = (bias - mean) s + shift with s = scale / sqrt(variance + eps), computed in float64.
 */
export function foldBatchNorm(graph: Graph): Graph {
  const consumers = consumersOf(graph);
  const convolutions = new Map(
    graph.nodes.filter(({ op }) => op === 'Conv').map((node) => [node.name, node] as const),
  );
  const constants = new Map(graph.constants);
  const values = (name: string) => constants.get(name)?.values as Float32Array;
  const folded = new Map<Node, Node | null>();
  for (const norm of graph.nodes) {
    const [x = '', scale = '', shift = '', mean = '', variance = ''] = norm.inputs;
    const conv = convolutions.get(x);
    const [image = '', weight = '', bias = ''] = conv?.inputs ?? [];
    const parameters = [weight, ...(bias ? [bias] : []), scale, shift, mean, variance];
    const folds = norm.op === 'BatchNormalization' && conv && consumers.get(x) === 1;
    if (!folds || !parameters.every((name) => constants.has(name))) continue;
    const { real: eps } = norm.attributes.epsilon as { real: number };
    const factors = Float64Array.from(values(scale), (s, k) => s / Math.sqrt(values(variance)[k]! + eps));
    const perOutput = values(weight).length / factors.length;
    const names = { weight: `${norm.name}/folded.weight`, bias: `${norm.name}/folded.bias` };
    constants.set(names.weight, {
      shape: constants.get(weight)!.shape,
      values: values(weight).map((w, i) => w * factors[Math.floor(i / perOutput)]!),
    });
    constants.set(names.bias, {
      shape: [factors.length],
      values: Float32Array.from(factors, (factor, k) => {
        const offset = (bias ? values(bias)[k]! : 0) - values(mean)[k]!;
        return offset * factor + values(shift)[k]!;
      }),
    });
    folded.set(conv, null);
    folded.set(norm, { ...conv, name: norm.name, inputs: [image, names.weight, names.bias] });
  }
  const nodes = graph.nodes.flatMap((node) => {
    const after = folded.get(node);
    return after === undefined ? [node] : after === null ? [] : [after];
  });
  const used = new Set(nodes.flatMap(({ inputs }) => inputs));
  return { ...graph, nodes, constants: new Map([...constants].filter(([name]) => used.has(name))) };
}
