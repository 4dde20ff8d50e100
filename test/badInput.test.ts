/** What JavaScript may pass to functions: an error with a code that says what was found, never a TypeError. */
import test from 'ava';
import {
  ConfusionMatrix,
  capture,
  compose,
  concat,
  conv2d,
  DataLoader,
  type ErrorCode,
  Linear,
  loadSafetensors,
  noGrad,
  normalize,
  ones,
  optim,
  parameter,
  readSafetensorsMetadata,
  relu,
  reshape,
  type Sample,
  saveSafetensors,
  scope,
  split,
  tensor,
} from '../lib/index.js';
import { rejectsCode, throwsCode } from './helpers/errors.js';

// biome-ignore lint/suspicious/noExplicitAny: what JavaScript may pass
const any = (value: unknown): any => value;
const x = ones([1, 4, 4, 4]);
const sgd = () => new optim.SGD([parameter(ones([1]))], { lr: 1 });

const wrong: [message: RegExp, call: () => unknown, code?: ErrorCode][] = [
  [/tensor: data is .*found "a"/, () => tensor(any([1, 'a']))],
  [/tensor: data is .*found true/, () => tensor(any([[true]]))],
  [/tensor: data is .*found null/, () => tensor(any(null), [1])],
  [/tensor: data is .*found a BigInt64Array/, () => tensor(any(BigInt64Array.of(1n)))],
  [/tensor: options are an object/, () => tensor([1], [1], any('int32'))],
  [/relu: x is not a tensor, found undefined/, () => relu(any(undefined))],
  [/conv2d: weight is not a tensor, found null/, () => conv2d(x, any(null))],
  [/conv2d: options are an object .*found 2/, () => conv2d(x, x, any(2))],
  [/concat: tensor 1 is not a tensor, found null/, () => concat([x, any(null)])],
  [/split: sizes is a number or a list/, () => split(x, any(undefined))],
  [/reshape: a shape is a list of numbers, found 64/, () => reshape(x, any(64))],
  [/noGrad: expected a synchronous function/, () => noGrad(async () => relu(x))],
  [/noGrad: expected a synchronous function, found 3/, () => noGrad(any(3))],
  [/scope: expected a function, found 3/, () => scope(any(3))],
  [/capture: expected a function, found 3/, () => capture(any(3))],
  [/parameter: expected a tensor, found 3/, () => parameter(any(3))],
  [/SGD: options are an object/, () => new optim.SGD([], any(undefined))],
  [
    /SGD: expected a list of parameters.*found a Linear/,
    () => new optim.SGD(any(new Linear(1, 1)), { lr: 1 }),
  ],
  [/SGD: lr is a number from 0 on, found "1"/, () => new optim.SGD([], { lr: any('1') })],
  [/Scheduler: expected an optimiser/, () => new optim.Scheduler(any(null), () => 1)],
  [/Scheduler: a schedule is a function/, () => new optim.Scheduler(sgd(), any(3))],
  [/warmup: a schedule is a function/, () => optim.warmup({ steps: 2, after: any(1) })],
  [/loadStateDict: expected a Map/, () => new Linear(1, 1).loadStateDict(any(null))],
  [/compose: a transform is a function, found \[\]/, () => compose(any([]))],
  [/normalize: .*found 0.5 and 1/, () => normalize(any(0.5), any(1))],
  [
    /ConfusionMatrix: label 2 of sample 0/,
    () => new ConfusionMatrix(2).add(Float32Array.of(0, 1), Int32Array.of(2)),
  ],
  [/loadSafetensors: path is the name of a file, found 0/, () => loadSafetensors(any(0))],
  [/readSafetensorsMetadata: path is/, () => readSafetensorsMetadata(any(0))],
  [/DataLoader: a dataset has length and get/, () => new DataLoader(any([1, 2]), { batchSize: 1 })],
  [
    /DataLoader: transform is a function/,
    () => new DataLoader(any({ length: 1, get() {} }), { batchSize: 1, transform: any(1) }),
  ],
];
for (const [message, call, code = 'INVALID_ARGUMENT'] of wrong)
  test(`${code} ${message}`, (t) => throwsCode(t, code, call, message));

test('saveSafetensors says which entry is no tensor', async (t) => {
  await rejectsCode(
    t,
    'INVALID_ARGUMENT',
    saveSafetensors('no.file', any({ w: 3 })),
    /w is not a tensor, found 3/,
  );
  await rejectsCode(t, 'INVALID_ARGUMENT', saveSafetensors('no.file', any(null)), /expected a Map/);
});

const image = { data: new Uint8Array(4), channels: 1, height: 2, width: 2 };
const samples: [what: RegExp, sample: unknown, code?: ErrorCode][] = [
  [/sample 0 has label undefined/, { image }],
  [/sample 0 has label 1.5/, { image, label: 1.5 }],
  [/sample 0: an image is .*found undefined/, undefined],
  [/sample 0: an image is/, { image: { ...image, data: new Float64Array(4) }, label: 0 }],
  [
    /sample 0 is \[1, 2, 2\] with 3 values/,
    { image: { ...image, data: new Uint8Array(3) }, label: 0 },
    'INVALID_SHAPE',
  ],
];
for (const [what, sample, code = 'INVALID_ARGUMENT'] of samples)
  test(`DataLoader: ${what}`, async (t) => {
    const dataset = { length: 1, classes: [], get: () => sample as Sample };
    const first = new DataLoader(dataset, { batchSize: 1 })[Symbol.asyncIterator]().next();
    await rejectsCode(t, code, first, what);
  });

test('DataLoader: a transform answers at once, with an image', async (t) => {
  const dataset = { length: 1, classes: [], get: () => ({ image, label: 0 }) };
  const transform = any(async () => image);
  const first = new DataLoader(dataset, { batchSize: 1, transform })[Symbol.asyncIterator]().next();
  await rejectsCode(t, 'INVALID_ARGUMENT', first, /an image is .*at once, found a Promise/);
});
