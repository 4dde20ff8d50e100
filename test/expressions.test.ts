// A trained depthwise separable network against its own authors' implementation: face-api's facial-expression net on
// face-api's WebAssembly backend, whose answers golden/makeExpressions.mjs wrote down.
import { createHash } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import test from 'ava';
import {
  EXPRESSIONS,
  ExpressionNet,
  expressionInput,
  INPUT_SIZE,
} from '../examples/expressions/expressionNet.js';
import { cropFaces, FACES, PHOTOGRAPH } from '../examples/expressions/faces.js';
import { convWeight, depthwiseWeight, linearWeight } from '../examples/expressions/layout.js';
import { readManifest } from '../examples/expressions/manifest.js';
import { showExpressions } from '../examples/expressions/show.js';
import { stateOf } from '../examples/expressions/state.js';
import { faceApiFile } from '../examples/faceApi.js';
import { GroupConvError, noGrad } from '../lib/index.js';

const manifestFile = faceApiFile('model', 'face_expression_model-weights_manifest.json');

interface Answer {
  sha256: string;
  logits: number[];
}

interface Golden {
  weightsSha256: string;
  labels: string[];
  photograph: string;
  faces: (Answer & { crop: { left: number; top: number; size: number } })[];
  synthetic: { noise: Answer; rings: Answer };
}

const golden: Golden = JSON.parse(
  await readFile(new URL('golden/expressions.json', import.meta.url), 'utf8'),
);

const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

async function loadNet(): Promise<ExpressionNet> {
  const net = new ExpressionNet();
  net.loadWeights(await readManifest(manifestFile));
  net.eval();
  return net;
}

/** Our logits, one array for each image. */
async function logitsOf(images: Uint8Array[]): Promise<number[][]> {
  const net = await loadNet();
  const x = expressionInput(images);
  const y = noGrad(() => net.forward(x));
  const values = [...(await y.data())];
  for (const owned of [x, y, net]) owned.dispose();
  return images.map((_, n) => values.slice(n * EXPRESSIONS.length, (n + 1) * EXPRESSIONS.length));
}

/** ‖ours − theirs‖ / ‖theirs‖ */
function relativeError(ours: number[], theirs: number[]): number {
  return Math.hypot(...ours.map((value, i) => value - theirs[i]!)) / Math.hypot(...theirs);
}

/** The formulas of golden/makeExpressions.mjs: integer arithmetic only. */
const formulas = {
  noise(row: number, column: number, channel: number): number {
    let h = (row * INPUT_SIZE + column) * 3 + channel + 1;
    h = Math.imul(h ^ (h >>> 16), 0x45d9f3b);
    h = Math.imul(h ^ (h >>> 16), 0x45d9f3b);
    return (h ^ (h >>> 16)) & 255;
  },
  rings(row: number, column: number, channel: number): number {
    const dy = 2 * row - 111;
    const dx = 2 * column - 90;
    return ((dx * dx + dy * dy) >> (5 + channel)) & 255;
  },
};

function paint(formula: (row: number, column: number, channel: number) => number): Uint8Array {
  return Uint8Array.from({ length: INPUT_SIZE * INPUT_SIZE * 3 }, (_, i) =>
    formula(Math.floor(i / (INPUT_SIZE * 3)), Math.floor(i / 3) % INPUT_SIZE, i % 3),
  );
}

test('the golden file was made from the weights, labels and faces that the example uses', async (t) => {
  t.is(sha256(await readFile(faceApiFile('model', 'face_expression_model.bin'))), golden.weightsSha256);
  t.deepEqual(golden.labels, [...EXPRESSIONS]);
  t.is(PHOTOGRAPH, golden.photograph);
  t.deepEqual(
    FACES,
    golden.faces.map(({ crop }) => crop),
  );
});

test('logits of synthetic images agree with the peer', async (t) => {
  const names = ['noise', 'rings'] as const;
  const images = names.map((name) => paint(formulas[name]));
  const logits = await logitsOf(images);
  names.forEach((name, n) => {
    t.is(sha256(images[n]!), golden.synthetic[name].sha256, `the formula of '${name}'`);
    const error = relativeError(logits[n]!, golden.synthetic[name].logits);
    t.log(`${name}: relative error ${error.toExponential(2)}`);
    t.true(error <= 1e-5, `${name}: relative error ${error}`);
  });
});

test('logits of the faces in a photograph agree with the peer', async (t) => {
  const crops = await cropFaces();
  const logits = await logitsOf(crops);
  t.is(crops.length, golden.faces.length);
  golden.faces.forEach((face, n) => {
    t.is(sha256(crops[n]!), face.sha256, 'sharp decodes other pixels: run golden/makeExpressions.mjs again');
    const error = relativeError(logits[n]!, face.logits);
    t.log(`face ${n + 1}: relative error ${error.toExponential(2)}`);
    t.true(error <= 1e-5, `face ${n + 1}: relative error ${error}`);
  });
});

test('an image has the same logits alone as in a batch', async (t) => {
  const images = [paint(formulas.rings), paint(formulas.noise)];
  const [together] = await logitsOf(images);
  const [alone] = await logitsOf(images.slice(0, 1));
  t.true(relativeError(together!, alone!) <= 1e-6);
});

test('showExpressions prints a table with a line for every face', async (t) => {
  const lines: string[] = [];
  await showExpressions((line) => lines.push(line));
  t.regex(lines[0]!, /3 faces of demo\/sample1\.jpg/);
  FACES.forEach(({ left, top, size }, n) => {
    const line = lines.find((candidate) => candidate.includes(`${left},${top} ${size}x${size}`));
    const { logits } = golden.faces[n]!;
    t.true(line?.includes(golden.labels[logits.indexOf(Math.max(...logits))]!), line);
  });
});

/** Writes a manifest and its shards into a folder of their own and reads them. */
async function readWritten(manifest: unknown, shards: Record<string, Uint8Array> = {}) {
  const folder = await mkdtemp(path.join(tmpdir(), 'groupconv-manifest-'));
  try {
    const file = path.join(folder, 'manifest.json');
    await writeFile(file, typeof manifest === 'string' ? manifest : JSON.stringify(manifest));
    for (const [name, bytes] of Object.entries(shards)) await writeFile(path.join(folder, name), bytes);
    return await readManifest(file);
  } finally {
    await rm(folder, { recursive: true });
  }
}

const quantised = {
  name: 'q',
  shape: [2, 2],
  dtype: 'float32',
  quantization: { dtype: 'uint8', scale: 0.5, min: -1 },
};
const plain = { name: 'p', shape: [3], dtype: 'float32' };
const bytes = Uint8Array.of(0, 1, 2, 255, ...new Uint8Array(Float32Array.of(1, -2, 0.25).buffer));
const groups = (...weights: unknown[]) => [{ paths: ['shard'], weights }];

test('a manifest is dequantised, and its shards are joined', async (t) => {
  const manifest = [{ paths: ['a', 'b'], weights: [quantised, plain] }];
  const weights = await readWritten(manifest, { a: bytes.subarray(0, 7), b: bytes.subarray(7) });
  t.deepEqual([...weights.keys()], ['q', 'p']);
  t.deepEqual(weights.get('q'), { shape: [2, 2], values: Float32Array.of(-1, -0.5, 0, 126.5) });
  t.deepEqual(weights.get('p'), { shape: [3], values: Float32Array.of(1, -2, 0.25) });
});

test('uint16 quantisation is read little-endian', async (t) => {
  const weight = { ...quantised, shape: [2], quantization: { dtype: 'uint16', scale: 2, min: 1 } };
  const weights = await readWritten(groups(weight), { shard: Uint8Array.of(1, 0, 0, 1) });
  t.deepEqual(weights.get('q')?.values, Float32Array.of(3, 513));
});

const lies: [title: string, manifest: unknown, shard: Uint8Array, message: RegExp][] = [
  [
    'a truncated shard',
    groups(quantised, plain),
    bytes.subarray(0, 15),
    /'p' \[3\] ends at byte 16, .* have 15/,
  ],
  ['bytes that nobody describes', groups(quantised), bytes, /describes 4 bytes, .* have 16/],
  ['a shape that is too large', groups({ ...plain, shape: [2 ** 40, 2 ** 40] }), bytes, /ends at byte/],
  ['a shape that is no list', groups({ ...plain, shape: 3 }), bytes, /shape 3/],
  ['a negative size', groups({ ...plain, shape: [-3] }), bytes, /shape \[-3\]/],
  ['a fractional size', groups({ ...plain, shape: [1.5] }), bytes, /shape \[1\.5\]/],
  ['an unknown dtype', groups({ ...plain, dtype: 'string' }), bytes, /dtype "string", expected float32/],
  [
    'an unknown quantisation',
    groups({ ...quantised, quantization: { dtype: 'int4' } }),
    bytes,
    /quantised to "int4"/,
  ],
  [
    'a quantisation without scale',
    groups({ ...quantised, quantization: { dtype: 'uint8', min: 0 } }),
    bytes,
    /scale/,
  ],
  ['the same name twice', groups(quantised, { ...plain, name: 'q' }), bytes, /'q' twice/],
  ['a weight without a name', groups({ shape: [], dtype: 'float32' }), bytes, /without a name/],
  ['a missing shard', [{ paths: ['absent'], weights: [plain] }], bytes, /can't be read/],
  ['a shard in another folder', [{ paths: ['../shard'], weights: [plain] }], bytes, /names the shard/],
  ['a group without paths', [{ weights: [plain] }], bytes, /list of paths/],
  ['no list of groups', { weightsManifest: [] }, bytes, /not a weights manifest/],
  ['no JSON', '{"paths": [', bytes, /is not JSON/],
];

for (const [title, manifest, shard, message] of lies) {
  test(`a manifest with ${title} is INVALID_FILE`, async (t) => {
    const error = await t.throwsAsync(readWritten(manifest, { shard }), {
      instanceOf: GroupConvError,
      message,
    });
    t.is(error?.code, 'INVALID_FILE');
  });
}

test('a missing manifest is INVALID_FILE', async (t) => {
  const error = await t.throwsAsync(readManifest(faceApiFile('model', 'absent.json')), {
    instanceOf: GroupConvError,
  });
  t.is(error?.code, 'INVALID_FILE');
});

test('weights are transposed from TensorFlow to PyTorch', (t) => {
  const counting = (...shape: number[]) => ({
    shape,
    values: Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => i),
  });
  t.deepEqual(linearWeight(counting(2, 3)), { shape: [3, 2], values: Float32Array.of(0, 3, 1, 4, 2, 5) });
  // [R = 1, S = 2, C = 2, K = 2]
  t.deepEqual(convWeight(counting(1, 2, 2, 2)), {
    shape: [2, 2, 1, 2],
    values: Float32Array.of(0, 4, 2, 6, 1, 5, 3, 7),
  });
  // [R = 1, S = 2, C = 2, M = 2]: output channels in the order c0m0, c0m1, c1m0, c1m1
  t.deepEqual(depthwiseWeight(counting(1, 2, 2, 2)), {
    shape: [4, 1, 1, 2],
    values: Float32Array.of(0, 4, 1, 5, 2, 6, 3, 7),
  });
});

test('a weight of the wrong rank or of an unknown role is INVALID_FILE', (t) => {
  const weight = { shape: [2], values: new Float32Array(2) };
  for (const name of [
    'dense0/conv0/filters',
    'dense1/conv0/depthwise_filter',
    'fc/weights',
    'dense0/scale',
    'odd',
  ]) {
    const error = t.throws(() => stateOf(new Map([[name, weight]])), { instanceOf: GroupConvError });
    t.is(error?.code, 'INVALID_FILE', name);
  }
});

test('weights that are not all there are refused', async (t) => {
  const weights = await readManifest(manifestFile);
  weights.delete('fc/bias');
  const net = new ExpressionNet();
  t.throws(() => net.loadWeights(weights), { instanceOf: GroupConvError, message: /fc\.bias/ });
  net.dispose();
});
