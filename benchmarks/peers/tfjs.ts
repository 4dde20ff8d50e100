/**
 * TensorFlow.js (WebAssembly) as a contender: inference. In Node it has one thread. Its convolution ignores groups, so a
 * grouped one is a convolution for each group; depthwise ones it has. Batch norms are folded into the weights here.
 */
import { createRequire } from 'node:module';
import { hashed, hashedParameter } from '../../test/golden/golden.js';
import { type Answer, type NetworkWork, probeOf, type Request, serve, timed } from './protocol.js';

/** What is used of TensorFlow.js, which is not installed with the development tools. Layouts are N H W C, R S C K. */
interface TfTensor {
  shape: number[];
  data(): Promise<Float32Array>;
  dispose(): void;
}
interface TensorFlow {
  version_core: string;
  setBackend(name: 'wasm'): Promise<boolean>;
  tensor(values: Float32Array, shape: number[]): TfTensor;
  transpose(x: TfTensor, order: number[]): TfTensor;
  pad(x: TfTensor, paddings: [number, number][]): TfTensor;
  split(x: TfTensor, sections: number, axis: number): TfTensor[];
  concat(parts: TfTensor[], axis: number): TfTensor;
  add(a: TfTensor, b: TfTensor): TfTensor;
  relu(x: TfTensor): TfTensor;
  maxPool(x: TfTensor, size: number, strides: number, pad: 'valid'): TfTensor;
  mean(x: TfTensor, axes: number[]): TfTensor;
  tidy<T>(work: () => T): T;
  fused: Record<'conv2d' | 'depthwiseConv2d', (options: object) => TfTensor> & {
    matMul(options: object): TfTensor;
  };
}

const require = createRequire(import.meta.url);
const tf: TensorFlow = require('@tensorflow/tfjs-core');
require('@tensorflow/tfjs-backend-wasm');

type Layer = (x: TfTensor) => TfTensor;

/** Makes layers in the order of a state dict and gives each the next hashed entries. */
class Builder {
  #entry = 0;
  constructor(readonly state: number) {}

  #next(key: string, shape: number[]): Float32Array {
    return hashedParameter(key, shape, this.state + this.#entry++);
  }

  /** Convolution, batch norm and, if wanted, ReLU. */
  conv(
    c: number,
    k: number,
    kernel: number,
    stride = 1,
    groups = 1,
    activation: 'relu' | 'linear' = 'relu',
  ): Layer {
    const size = (c / groups) * kernel * kernel;
    const weight = this.#next('weight', [k, c / groups, kernel, kernel]);
    const [gain, shift] = [this.#next('weight', [k]), this.#next('bias', [k])];
    const [mean, variance] = [this.#next('running_mean', [k]), this.#next('running_var', [k])];
    this.#entry++; // num_batches_tracked
    const scale = gain.map((value, i) => value / Math.sqrt(variance[i]! + 1e-5));
    const folded = weight.map((value, i) => value * scale[Math.floor(i / size)]!);
    const offset = shift.map((value, i) => value - mean[i]! * scale[i]!);
    const depthwise = groups > 1 && groups === c;
    const pieces = depthwise ? 1 : groups;
    const share = k / pieces;
    const parts = Array.from({ length: pieces }, (_, g) => ({
      filter: tf.tidy(() => {
        const values = folded.slice(g * share * size, (g + 1) * share * size);
        const order = depthwise ? [2, 3, 0, 1] : [2, 3, 1, 0];
        return tf.transpose(tf.tensor(values, [share, c / groups, kernel, kernel]), order);
      }),
      bias: tf.tensor(offset.slice(g * share, (g + 1) * share), [share]),
    }));
    const edge = (kernel - 1) / 2;
    const settings = { strides: stride, pad: 'valid', activation };
    const run = depthwise ? tf.fused.depthwiseConv2d : tf.fused.conv2d;
    return (x) => {
      const padded = edge
        ? tf.pad(x, [
            [0, 0],
            [edge, edge],
            [edge, edge],
            [0, 0],
          ])
        : x;
      if (pieces === 1) return run({ x: padded, ...parts[0], ...settings });
      const inputs = tf.split(padded, pieces, 3);
      return tf.concat(
        inputs.map((part, g) => run({ x: part, ...parts[g], ...settings })),
        3,
      );
    };
  }

  classifier(c: number, k: number): Layer {
    const b = tf.transpose(tf.tensor(this.#next('weight', [k, c]), [k, c]), [1, 0]);
    const bias = tf.tensor(this.#next('bias', [k]), [k]);
    return (x) => tf.fused.matMul({ a: tf.mean(x, [1, 2]), b, bias });
  }
}

function resnet({ state, blocks, cardinality, width }: NetworkWork): Layer[] {
  const builder = new Builder(state);
  const layers: Layer[] = [
    builder.conv(3, 64, 7, 2),
    // The ReLU before leaves nothing below the zeros of this padding.
    (x) =>
      tf.maxPool(
        tf.pad(x, [
          [0, 0],
          [1, 1],
          [1, 1],
          [0, 0],
        ]),
        3,
        2,
        'valid',
      ),
  ];
  let channels = 64;
  for (const [stage, count] of blocks.entries())
    for (let at = 0; at < count; at++) {
      const [inner, outer] = [cardinality * width * 2 ** stage, 256 * 2 ** stage];
      const stride = at === 0 && stage > 0 ? 2 : 1;
      const residual = [
        builder.conv(channels, inner, 1),
        builder.conv(inner, inner, 3, stride, cardinality),
        builder.conv(inner, outer, 1, 1, 1, 'linear'),
      ];
      const shortcut = at === 0 ? builder.conv(channels, outer, 1, stride, 1, 'linear') : (x: TfTensor) => x;
      layers.push((x) =>
        tf.relu(
          tf.add(
            residual.reduce((y, layer) => layer(y), x),
            shortcut(x),
          ),
        ),
      );
      channels = outer;
    }
  return [...layers, builder.classifier(channels, 1000)];
}

function mobilenet({ state }: NetworkWork): Layer[] {
  const builder = new Builder(state);
  const layers = [builder.conv(3, 32, 3, 2)];
  let channels = 32;
  for (const [outer, stride] of [
    [64, 1],
    [128, 2],
    [128, 1],
    [256, 2],
    [256, 1],
    [512, 2],
    [512, 1],
    [512, 1],
    [512, 1],
    [512, 1],
    [512, 1],
    [1024, 2],
    [1024, 1],
  ] as const) {
    layers.push(builder.conv(channels, channels, 3, stride, channels), builder.conv(channels, outer, 1));
    channels = outer;
  }
  return [...layers, builder.classifier(channels, 1000)];
}

let run: (() => Promise<Float32Array>) | undefined;

await serve(async (request: Request): Promise<Answer> => {
  if (request.command === 'describe') {
    await tf.setBackend('wasm');
    return { version: `${tf.version_core} (one thread)` };
  }
  if (request.command === 'prepare' && request.work === 'inference') {
    const layers = request.family === 'mobilenet' ? mobilenet(request) : resnet(request);
    const shape = [request.n, 3, request.size, request.size];
    const values = hashed(
      request.input,
      shape.reduce((product, extent) => product * extent, 1),
    );
    const x = tf.tidy(() => tf.transpose(tf.tensor(values, shape), [0, 2, 3, 1]));
    run = async () => {
      const y = tf.tidy(() => layers.reduce((value, layer) => layer(value), x));
      const logits = await y.data();
      y.dispose();
      return logits;
    };
    await run();
    return { probe: probeOf(await run()) };
  }
  if (request.command === 'run' && run) return { samples: await timed(run, request) };
  throw new Error(`TensorFlow.js can't ${request.command} this`);
});
