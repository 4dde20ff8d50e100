// What exportOnnx writes, and what it refuses. That other programs compute the same from it: test/interop.

import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import {
  add,
  BatchNorm2d,
  Conv2d,
  crossEntropy,
  dropout,
  type ExportOnnxOptions,
  exportOnnx,
  Hardswish,
  Identity,
  Linear,
  Module,
  mobilenet_v1,
  ones,
  ReLU,
  ResNeXt,
  relu,
  reshape,
  Sequential,
  SqueezeExcitation,
  scope,
  softmax,
  type Tensor,
  type Tensor2D,
  type Tensor4D,
  tensor,
} from '../lib/index.js';
import { rejectsCode } from './helpers/errors.js';
import { settled } from './helpers/memory.js';
import { type OnnxFile, readOnnx } from './helpers/onnxFile.js';
import { digest, fillState } from './helpers/state.js';

const folder = mkdtempSync(join(tmpdir(), 'groupconv-onnx-'));
const path = join(folder, 'model.onnx');
test.after.always(() => rmSync(folder, { recursive: true }));

async function exported(model: Module, options: ExportOnnxOptions): Promise<OnnxFile> {
  await exportOnnx(model, path, options);
  return readOnnx(path);
}

const small = () =>
  new ResNeXt({ blockRepeats: [[8, 1]], cardinality: 4, numClasses: 5, stem: 'cifar', stemBias: false });

test.serial('a ResNeXt: operators in order, weights under their keys and bit for bit', async (t) => {
  const start = await settled();
  const model = small();
  fillState(t, model, 300);
  const before = digest(model);
  const file = await exported(model, { inputShape: [2, 3, 8, 8], metadata: { author: 'Änne' } });
  t.true(model.training, 'the mode is as it was');
  t.deepEqual(digest(model), before, 'and so is the state');
  const { irVersion, opset, producer, graph, metadata, inputs, outputs } = file;
  t.deepEqual(
    { irVersion, opset, producer, graph, metadata, inputs, outputs },
    {
      irVersion: 8,
      opset: 17,
      producer: 'groupconv',
      graph: 'ResNeXt',
      metadata: { author: 'Änne' },
      inputs: [{ name: 'input', elementType: 1, shape: ['N', 3, 8, 8] }],
      outputs: [{ name: 'output', elementType: 1, shape: ['N', 5] }],
    },
  );
  t.deepEqual(
    file.nodes.map(({ op }) => op),
    [
      ...['Conv', 'BatchNormalization', 'Relu'],
      ...['Conv', 'BatchNormalization', 'Relu', 'Conv', 'BatchNormalization', 'Relu', 'Conv'],
      ...['BatchNormalization', 'Conv', 'BatchNormalization', 'Add', 'Relu'],
      ...['GlobalAveragePool', 'Flatten', 'Gemm'],
    ],
  );
  const grouped = file.nodes.find(({ name }) => name === 'conv2_blocks.0.residual.3/Conv');
  t.deepEqual(grouped?.inputs.slice(1), ['conv2_blocks.0.residual.3.weight']);
  t.deepEqual(grouped?.attributes, {
    kernel_shape: [3, 3],
    strides: [2, 2],
    dilations: [1, 1],
    pads: [1, 1, 1, 1],
    group: 4,
  });
  t.deepEqual(file.nodes.find(({ op }) => op === 'BatchNormalization')?.attributes, {
    epsilon: Math.fround(1e-5),
  });
  const state = new Map([...model.stateDict()].filter(([key]) => !key.endsWith('num_batches_tracked')));
  t.deepEqual([...file.constants.keys()].sort(), [...state.keys()].sort());
  for (const [key, value] of state) {
    t.deepEqual(file.constants.get(key)?.shape, [...value.shape], key);
    t.deepEqual(file.constants.get(key)?.values, value.dataSync(), key);
  }
  model.dispose();
  t.is((await settled()).bytes, start.bytes);
});

test.serial('every value is defined once, before it is used', async (t) => {
  using model = mobilenet_v1(0.25);
  const { nodes, constants, inputs, outputs } = await exported(model, { inputShape: [1, 3, 32, 32] });
  const defined = new Set([...constants.keys(), ...inputs.map(({ name }) => name)]);
  for (const { name, inputs: taken, outputs: given } of nodes) {
    for (const input of taken) t.true(defined.has(input), `${name} takes ${input}`);
    for (const output of given) {
      t.false(defined.has(output), `${output} is defined twice`);
      defined.add(output);
    }
  }
  t.deepEqual(
    outputs.map(({ name }) => name),
    [nodes.at(-1)?.outputs[0]],
  );
});

test.serial(
  'foldBatchNorm leaves no BatchNormalization behind a convolution, and no unused weights',
  async (t) => {
    using model = small();
    const file = await exported(model, { inputShape: [1, 3, 8, 8], foldBatchNorm: true });
    t.false(file.nodes.some(({ op }) => op === 'BatchNormalization'));
    const used = new Set(file.nodes.flatMap(({ inputs }) => inputs));
    t.true([...file.constants.keys()].every((name) => used.has(name)));

    class Shared extends Module {
      readonly conv = new Conv2d(3, 4, 1);
      readonly norm = new BatchNorm2d(4);
      override forward(x: Tensor4D): Tensor {
        return scope(() => {
          const y = this.conv.forward(x); // taken twice: it stays
          return reshape(relu(this.norm.forward(y)), [y.shape[0], -1]);
        });
      }
    }
    class Twice extends Shared {
      override forward(x: Tensor4D): Tensor {
        return scope(() => {
          const y = this.conv.forward(x);
          return this.norm.forward(this.norm.forward(y));
        });
      }
    }
    const count = async (other: Module) =>
      (await exported(other, { inputShape: [1, 3, 5, 5], foldBatchNorm: true })).nodes.filter(
        ({ op }) => op === 'BatchNormalization',
      ).length;
    t.is(await count(new Shared()), 0);
    t.is(await count(new Twice()), 1);
  },
);

test.serial('names, opset and a fixed batch', async (t) => {
  using model = new Sequential(new Linear(3, 2), new Identity());
  const file = await exported(model, {
    inputShape: [4, 3],
    dynamicBatch: false,
    opset: 13,
    inputName: 'features',
    outputName: 'scores',
  });
  t.is(file.opset, 13);
  t.deepEqual(file.inputs, [{ name: 'features', elementType: 1, shape: [4, 3] }]);
  t.deepEqual(file.outputs, [{ name: 'scores', elementType: 1, shape: [4, 2] }]);
  t.deepEqual(file.nodes, [
    {
      op: 'Gemm',
      name: 'scores',
      inputs: ['features', '0.weight', '0.bias'],
      outputs: ['scores'],
      attributes: { transB: 1 },
    },
  ]);
  using identity = new Identity();
  const [node] = (await exported(identity, { inputShape: [1, 2] })).nodes;
  t.deepEqual([node?.op, node?.inputs, node?.outputs], ['Identity', ['input'], ['output']]);
});

test.serial('nonlinearities have their operators, hardswish two before there was one', async (t) => {
  using model = new SqueezeExcitation(4, 2, { activation: 'silu', scaleActivation: 'hardsigmoid' });
  using swish = new Hardswish();
  const ops = async (module: Module, opset: number) =>
    (await exported(module, { inputShape: [1, 4, 3, 3], opset })).nodes.map(({ op }) => op);
  t.deepEqual(await ops(model, 17), [
    ...['GlobalAveragePool', 'Conv', 'Sigmoid', 'Mul', 'Conv', 'HardSigmoid', 'Mul'],
  ]);
  t.deepEqual(await ops(swish, 14), ['HardSwish']);
  t.deepEqual(await ops(swish, 13), ['HardSigmoid', 'Mul']);
  const [node] = (await exported(swish, { inputShape: [1, 4], opset: 13 })).nodes;
  t.deepEqual(node?.attributes, { alpha: Math.fround(1 / 6), beta: 0.5 });
});

/** A module of any forward. */
function doing(forward: (x: Tensor, weight: Tensor2D) => unknown): Module {
  return new (class Doing extends Module {
    readonly linear = new Linear(4, 4, { bias: false });
    override forward(x: Tensor): Tensor {
      return scope(() => forward(x, this.linear.weight)) as Tensor;
    }
  })();
}

test.serial(
  'a constant is no value of the graph, even where it lies in the place of one that is gone',
  async (t) => {
    using model = doing((x) => {
      relu(x).dispose();
      return add(x, ones([2, 4]));
    });
    const file = await exported(model, { inputShape: [2, 4], dynamicBatch: false });
    const [input, other] = file.nodes.find(({ op }) => op === 'Add')?.inputs ?? [];
    t.is(input, 'input');
    t.deepEqual(file.constants.get(other as string)?.values, new Float32Array(8).fill(1));
  },
);

const refused: [what: string, message: RegExp, model: Module][] = [
  [
    'values read inside forward',
    /forward reads values: what it does/,
    doing((x) => (x.dataSync()[0]! > 0 ? x : relu(x))),
  ],
  [
    'values read behind the back, and the error caught',
    /forward reads values/,
    doing((x) => {
      x.data().catch(() => {});
      return relu(x);
    }),
  ],
  ['random numbers', /forward draws random numbers \(dropout\)/, doing((x) => dropout(x))],
  [
    'a parameter written in forward',
    /forward writes to a tensor in place \(write\)/,
    doing((x, weight) => {
      weight.set(new Float32Array(16));
      return relu(x);
    }),
  ],
  [
    'a loss',
    /exportOnnx: crossEntropy has no counterpart/,
    doing((x) => crossEntropy(x as Tensor2D, tensor(new Int32Array(x.shape[0]!)))),
  ],
  ['a cast', /a cast to another dtype has no counterpart/, doing((x) => x.to('bfloat16').to('float32'))],
  [
    "the batch's own statistics, by the module's path",
    /batchNorm by the batch's own statistics in 1 has no counterpart/,
    new Sequential(
      new (class extends Module {
        override forward(x: Tensor): Tensor {
          return reshape(x, [-1, 1, 2, 2]);
        }
      })(),
      new BatchNorm2d(1, { trackRunningStats: false }),
    ),
  ],
  ['no tensor', /forward must return one tensor/, doing((x) => [relu(x), x])],
  [
    'a shape that depends on the batch in two ways',
    /Reshape \(Reshape\) takes \[4, 2\] here, \[2, 6\] for another batch size; dynamicBatch: false/,
    doing((x) => relu(reshape(x, x.shape[0] === 2 ? [4, 2] : [2, 6]))),
  ],
  [
    'a constant of the size of the batch',
    /\(Add\) takes another constant for another batch size/,
    doing((x) => add(x, ones(x.shape))),
  ],
  [
    'operators that depend on the batch',
    /forward runs other operators for another batch size/,
    doing((x) => relu(x.shape[0] === 2 ? relu(x) : x)),
  ],
  [
    'an attribute that depends on the batch',
    /\(Softmax\) is another for another batch size/,
    doing((x) => softmax(x, x.shape[0]! - 2)),
  ],
];

for (const [what, message, model] of refused)
  test.serial(`UNSUPPORTED: ${what}`, async (t) => {
    const before = digest(model);
    const modes = model.modules().map(({ training }) => training);
    const inputShape = model instanceof Sequential ? [2, 4, 2, 2] : [2, 4];
    await rejectsCode(t, 'UNSUPPORTED', exportOnnx(model, path, { inputShape }), message);
    if (!what.includes('written')) t.deepEqual(digest(model), before);
    t.deepEqual(
      model.modules().map(({ training }) => training),
      modes,
    );
    const { training } = model;
    using y = new ReLU().forward(tensor([-1, 1]));
    t.deepEqual([...y.dataSync()], [0, 1], 'nothing observes any more');
    t.is(model.training, training);
    model.dispose();
  });

test.serial('what depends on the batch can be exported for one batch', async (t) => {
  using model = doing((x) => relu(reshape(x, x.shape[0] === 2 ? [4, 2] : [2, 6])));
  const file = await exported(model, { inputShape: [2, 4], dynamicBatch: false });
  t.deepEqual(file.outputs[0]?.shape, [4, 2]);
  t.deepEqual(file.constants.get('shape')?.values, BigInt64Array.of(4n, 2n));
});

test.serial('wrong calls are told before anything is written', async (t) => {
  using model = new Linear(4, 3);
  rmSync(path, { force: true });
  const good: ExportOnnxOptions = { inputShape: [1, 4] };
  const wrong: [Record<string, unknown>, RegExp, ('INVALID_ARGUMENT' | 'INVALID_SHAPE')?][] = [
    [{ shape: [1, 4] }, /unknown option shape; known are inputShape/],
    [{ opset: 12 }, /opset is a whole number from 13 on, found 12/],
    [{ opset: 22 }, /opset is a version from 13 to 21, found 22/],
    [{ dynamicBatch: 1 }, /dynamicBatch is a boolean, found 1/],
    [{ foldBatchNorm: 'yes' }, /foldBatchNorm is a boolean, found "yes"/],
    [{ inputName: '' }, /inputName is a name, found ""/],
    [{ outputName: 'input' }, /both called input/],
    [{ inputName: 'weight' }, /weight is the name of a weight/],
    [{ metadata: { n: 1 } }, /metadata n is a string, found 1/],
    [{ inputShape: undefined }, /exportOnnx: a shape is a list/, 'INVALID_SHAPE'],
    [{ inputShape: [0, 4] }, /exportOnnx: a shape is a list/, 'INVALID_SHAPE'],
    [{ inputShape: [] }, /inputShape has no batch dimension/, 'INVALID_SHAPE'],
    [{ inputShape: [1, 5] }, /linear/, 'INVALID_SHAPE'],
  ];
  for (const [options, message, code = 'INVALID_ARGUMENT'] of wrong)
    await rejectsCode(t, code, exportOnnx(model, path, { ...good, ...options } as never), message);
  await rejectsCode(t, 'INVALID_ARGUMENT', exportOnnx({} as never, path, good), /model is not a module/);
  await rejectsCode(
    t,
    'INVALID_ARGUMENT',
    exportOnnx(model, 7 as never, good),
    /path is the name of a file, found 7/,
  );
  t.false(existsSync(path));
  const nowhere = join(folder, 'none', 'model.onnx');
  await rejectsCode(t, 'INVALID_FILE', exportOnnx(model, nowhere, good), /^exportOnnx: .*none.*ENOENT/);
  await rejectsCode(t, 'INVALID_FILE', exportOnnx(model, folder, good), /^exportOnnx: /);
  t.deepEqual(readdirSync(folder), [], 'no temporary file is left');
  const gone = new Sequential(new Linear(4, 3));
  gone.dispose();
  await rejectsCode(t, 'DISPOSED', exportOnnx(gone, path, good));
});
