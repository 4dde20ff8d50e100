import { nonlinearityCodes } from '../../activation.js';
import type {
  ActivationCode,
  Conv2dGeometry,
  Handle,
  Native,
  NonlinearityCode,
  PoolGeometry,
} from '../../native.js';
import { native } from '../../native.js';
import type { GraphBuilder } from './graphBuilder.js';

/**
 * What each of the addon's operators is in ONNX: a function that adds its nodes and returns the name of the result.
 * What isn't here can't be exported.
 */
type Exporters = {
  readonly [Op in keyof Native]?: (graph: GraphBuilder, ...args: Parameters<Native[Op]>) => string;
};

function convolution(
  graph: GraphBuilder,
  x: Handle,
  weight: Handle,
  bias: Handle | null,
  ...[strideH, strideW, dilationH, dilationW, top, right, bottom, left, groups]: Conv2dGeometry
): string {
  const [, , height, width] = native.shapeOf(weight);
  return graph.node('Conv', [graph.value(x), graph.value(weight), graph.optional(bias)], {
    kernel_shape: [height!, width!],
    strides: [strideH, strideW],
    dilations: [dilationH, dilationW],
    pads: [top, left, bottom, right],
    group: groups,
  });
}

function windows([kernelH, kernelW, strideH, strideW, top, right, bottom, left]: PoolGeometry) {
  return {
    kernel_shape: [kernelH, kernelW],
    strides: [strideH, strideW],
    pads: [top, left, bottom, right],
  };
}

/** Normalisation by running statistics; an absent weight is 1, an absent bias 0. */
function batchNorm(
  graph: GraphBuilder,
  x: string,
  weight: Handle | null,
  bias: Handle | null,
  mean: Handle,
  variance: Handle,
  eps: number,
): string {
  const shape = native.shapeOf(mean);
  const filled = (role: string, value: number) =>
    graph.constant(role, shape, new Float32Array(shape[0]!).fill(value));
  const inputs = [
    x,
    weight ? graph.value(weight) : filled('weight', 1),
    bias ? graph.value(bias) : filled('bias', 0),
    graph.value(mean),
    graph.value(variance),
  ];
  return graph.node('BatchNormalization', inputs, { epsilon: { real: eps } });
}

/** activation(x + residual), as kernels do at their stores. */
function store(graph: GraphBuilder, x: string, residual: Handle | null, kind: ActivationCode): string {
  const sum = residual ? graph.node('Add', [x, graph.value(residual)]) : x;
  if (kind === 0) return sum;
  if (kind === 1) return graph.node('Relu', [sum]);
  const bound = (role: string, value: number) => graph.constant(role, [], Float32Array.of(value));
  return graph.node('Clip', [sum, bound('min', 0), bound('max', 6)]);
}

/** The first version of ONNX's operators that has HardSwish. */
const HARD_SWISH_OPSET = 14;

function nonlinearity(graph: GraphBuilder, x: string, kind: NonlinearityCode): string {
  const hardSigmoid = () => graph.node('HardSigmoid', [x], { alpha: { real: 1 / 6 }, beta: { real: 0.5 } });
  switch (kind) {
    case nonlinearityCodes.sigmoid:
      return graph.node('Sigmoid', [x]);
    case nonlinearityCodes.silu:
      return graph.node('Mul', [x, graph.node('Sigmoid', [x])]);
    case nonlinearityCodes.hardsigmoid:
      return hardSigmoid();
    case nonlinearityCodes.hardswish:
      if (graph.opset < HARD_SWISH_OPSET) return graph.node('Mul', [x, hardSigmoid()]);
      return graph.node('HardSwish', [x]);
    default:
      return store(graph, x, null, kind);
  }
}

/** [from, to]: the matrix that averages window p, from floor(p from / to) to ceil((p + 1) from / to), into column p. */
function averaging(from: number, to: number): Float32Array {
  const matrix = new Float32Array(from * to);
  for (let p = 0; p < to; p++) {
    const begin = Math.floor((p * from) / to);
    const end = Math.ceil(((p + 1) * from) / to);
    for (let i = begin; i < end; i++) matrix[i * to + p] = 1 / (end - begin);
  }
  return matrix;
}

/** ONNX knows windows of equal size only; uneven ones are two products with averaging matrices. */
function adaptiveAverage(graph: GraphBuilder, x: Handle, height: number, width: number): string {
  const [, , h = 0, w = 0] = native.shapeOf(x);
  if (height === 1 && width === 1) return graph.node('GlobalAveragePool', [graph.value(x)]);
  if (h % height === 0 && w % width === 0) {
    const size = [h / height, w / width];
    return graph.node('AveragePool', [graph.value(x)], { kernel_shape: size, strides: size });
  }
  const columns = graph.constant('columns', [w, width], averaging(w, width));
  const narrow = graph.node('MatMul', [graph.value(x), columns]); // [N, C, H, Q]
  const transposed = averaging(h, height); // [H, P]
  const rows = transposed.map((_, i) => transposed[(i % h) * height + Math.floor(i / h)]!);
  return graph.node('MatMul', [graph.constant('rows', [height, h], rows), narrow]); // [N, C, P, Q]
}

export const exporters: Exporters = {
  conv2d: convolution,
  conv2dFused(
    graph,
    x,
    weight,
    bias,
    normWeight,
    normBias,
    mean,
    variance,
    eps,
    residual,
    _,
    kind,
    ...geometry
  ) {
    const y = convolution(graph, x, weight, bias, ...geometry);
    const normed = mean && variance ? batchNorm(graph, y, normWeight, normBias, mean, variance, eps) : y;
    return store(graph, normed, residual, kind);
  },
  batchNormEval(graph, x, weight, bias, mean, variance, eps, residual, kind) {
    return store(graph, batchNorm(graph, graph.value(x), weight, bias, mean, variance, eps), residual, kind);
  },
  activation: (graph, x, kind) => nonlinearity(graph, graph.value(x), kind),
  add: (graph, a, b, kind) => store(graph, graph.value(a), b, kind),
  mul: (graph, a, b) => graph.node('Mul', [graph.value(a), graph.value(b)]),
  maxPool2d: (graph, x, ...geometry) => graph.node('MaxPool', [graph.value(x)], windows(geometry)),
  avgPool2d: (graph, x, countIncludePad, ...geometry) =>
    graph.node('AveragePool', [graph.value(x)], {
      ...windows(geometry),
      count_include_pad: Number(countIncludePad),
    }),
  adaptiveAvgPool2d: adaptiveAverage,
  linear(graph, x, weight, bias) {
    if (native.shapeOf(x).length === 2)
      return graph.node('Gemm', [graph.value(x), graph.value(weight), graph.optional(bias)], { transB: 1 });
    const columns = graph.node('Transpose', [graph.value(weight)], { perm: [1, 0] });
    const y = graph.node('MatMul', [graph.value(x), columns]);
    return bias ? graph.node('Add', [y, graph.value(bias)]) : y;
  },
  softmax: (graph, x, axis, log) => graph.node(log ? 'LogSoftmax' : 'Softmax', [graph.value(x)], { axis }),
  concat: (graph, inputs, axis) =>
    graph.node(
      'Concat',
      inputs.map((x) => graph.value(x)),
      { axis },
    ),
  slice(graph, x, axis, begin, size) {
    const lists = [
      graph.list('starts', [begin]),
      graph.list('ends', [begin + size]),
      graph.list('axes', [axis]),
    ];
    return graph.node('Slice', [graph.value(x), ...lists]);
  },
  reshape(graph, x, shape) {
    const from = native.shapeOf(x);
    if (shape.length === 2 && from.length > 1 && shape[0] === from[0])
      return graph.node('Flatten', [graph.value(x)], { axis: 1 });
    return graph.node('Reshape', [graph.value(x), graph.list('shape', shape)]);
  },
  clone: (graph, x) => graph.node('Identity', [graph.value(x)]),
};
