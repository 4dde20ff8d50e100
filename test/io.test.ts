import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import {
  type DType,
  GroupConvError,
  loadSafetensors,
  memory,
  ResNeXt,
  readSafetensorsMetadata,
  type Shape,
  saveSafetensors,
  type Tensor,
  tensor,
  zeros,
} from '../lib/index.js';
import { hashed, loadGolden } from './golden/golden.js';
import { rejectsCode, throwsCode } from './helpers/errors.js';
import { settled } from './helpers/memory.js';

test.serial.beforeEach(settled); // what earlier tests forgot is not to vanish while memory is compared

const folder = mkdtempSync(join(tmpdir(), 'groupconv-io-'));
const path = (name: string) => join(folder, name);
test.after.always(() => rmSync(folder, { recursive: true }));

type State = Map<string, Tensor<Shape, DType>>;
const describe = (state: State) =>
  [...state].map(([key, { dtype, shape, ...rest }]) => [
    key,
    dtype,
    shape,
    [...(state.get(key)?.dataSync() ?? [rest])],
  ]);
const disposeAll = (state: State) => {
  for (const entry of state.values()) entry.dispose();
};

/** A file of any header and data. */
function write(name: string, header: unknown, data: Uint8Array | number = 0, length?: bigint): string {
  const json = typeof header === 'string' ? Buffer.from(header) : Buffer.from(JSON.stringify(header));
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(length ?? BigInt(json.length));
  writeFileSync(
    path(name),
    Buffer.concat([size, json, typeof data === 'number' ? Buffer.alloc(data) : data]),
  );
  return path(name);
}

test.serial('a state comes back bit for bit, in order, in every dtype', async (t) => {
  const start = memory().bytes;
  const made: State = new Map<string, Tensor<Shape, DType>>([
    ['b.weight', tensor([1.5, -0, Number.NaN, Number.POSITIVE_INFINITY, 1e-42, 3], [2, 3])],
    ['10', tensor(Int32Array.of(-(2 ** 31), 2 ** 31 - 1))],
    ['2', tensor(7)],
    ['ключ "x"\n', zeros([1, 2, 1, 2])],
  ]);
  made.set('half', tensor([1, 65504, 2 ** -24], [3], { dtype: 'float16' }));
  made.set('brain', tensor([1, 1e38, -3.140625], [1, 3], { dtype: 'bfloat16' }));
  await saveSafetensors(path('all'), made);
  const read = loadSafetensors(path('all'));
  t.deepEqual(describe(read), describe(made));
  await saveSafetensors(path('again'), read);
  t.deepEqual(readFileSync(path('again')), readFileSync(path('all')));
  t.is(readFileSync(path('all')).readUInt32LE(0) % 8, 0, 'data is aligned');
  disposeAll(read);
  disposeAll(made);
  t.is(memory().bytes, start);
});

test.serial("PyTorch's own files are read", (t) => {
  const golden = loadGolden('training');
  const read = loadSafetensors(new URL('golden/training.safetensors', import.meta.url).pathname);
  t.deepEqual([...read.keys()].sort(), [...golden.keys()].sort());
  for (const [key, { shape, data }] of golden) {
    const found = read.get(key);
    t.deepEqual(found?.shape, shape);
    t.deepEqual(found?.dataSync(), Float32Array.from(data)); // float64 becomes float32
  }
  disposeAll(read);
});

test.serial('int64 becomes int32 where it fits', (t) => {
  const header = { n: { dtype: 'I64', shape: [2], data_offsets: [0, 16] } };
  const data = (...values: bigint[]) => new Uint8Array(BigInt64Array.from(values).buffer);
  const read = loadSafetensors(write('wide', header, data(-5n, 2147483647n)));
  t.deepEqual(read.get('n')?.dataSync(), Int32Array.of(-5, 2147483647));
  disposeAll(read);
  throwsCode(
    t,
    'UNSUPPORTED',
    () => loadSafetensors(write('wide', header, data(1n, 2147483648n))),
    /wide: 2147483648/,
  );
});

test.serial(
  'a trained state survives the way through a file; what is saved is what was at the call',
  async (t) => {
    using model = new ResNeXt({ blockRepeats: [[16, 1]], cardinality: 4, stem: 'cifar', numClasses: 3 });
    using other = new ResNeXt({ blockRepeats: [[16, 1]], cardinality: 4, stem: 'cifar', numClasses: 3 });
    const before = describe(model.stateDict());
    const saving = saveSafetensors(path('model'), model.stateDict());
    model.classifier.bias?.set(Float32Array.of(1, 2, 3));
    await saving;
    const read = loadSafetensors(path('model'));
    t.deepEqual(describe(read), before);
    other.loadStateDict(read);
    t.deepEqual(describe(other.stateDict()), before);
    disposeAll(read);
  },
);

test.serial('a file appears whole or not at all', async (t) => {
  const alone = mkdtempSync(join(folder, 'alone-'));
  const file = join(alone, 'state');
  const x = zeros([4]);
  await saveSafetensors(file, { x });
  const good = readFileSync(file);
  x.dispose();
  await rejectsCode(t, 'DISPOSED', saveSafetensors(file, { x }));
  t.deepEqual(readFileSync(file), good);
  const y = zeros([4]);
  await rejectsCode(t, 'INVALID_FILE', saveSafetensors(join(alone, 'absent', 'state'), { y }), /absent/);
  await rejectsCode(t, 'INVALID_FILE', saveSafetensors(alone, { y }), /alone-/);
  await rejectsCode(t, 'INVALID_ARGUMENT', saveSafetensors(file, { __metadata__: y }), /__metadata__/);
  t.deepEqual(readdirSync(alone), ['state']);
  y.dispose();
});

/** A file of so many zeros. */
function put(length: number): string {
  writeFileSync(path('lie'), Buffer.alloc(length));
  return path('lie');
}

const f32 = (shape: unknown, begin: unknown, end: unknown) => ({
  dtype: 'F32',
  shape,
  data_offsets: [begin, end],
});
const lies: [what: string, message: RegExp, make: () => string][] = [
  ['missing', /no such file/, () => path('none')],
  ['a folder', /EISDIR/, () => folder],
  ['empty', /0 bytes are too few/, () => put(0)],
  ['seven bytes', /7 bytes are too few/, () => put(7)],
  ['header beyond the end', /header ends at byte 1008, the file at 10/, () => write('lie', {}, 0, 1000n)],
  [
    'header too long',
    /18446744073709551615 bytes, at most 100000000/,
    () => write('lie', {}, 0, 2n ** 64n - 1n),
  ],
  ['no JSON', /not JSON/, () => write('lie', '{"a": ')],
  ['no UTF-8', /not JSON/, () => write('lie', '{}', Buffer.from([0xff]), 3n)],
  ['a list', /not a JSON object/, () => write('lie', [])],
  ['null', /not a JSON object/, () => write('lie', 'null')],
  ['entry is a number', /a has dtype undefined/, () => write('lie', { a: 3 })],
  [
    'unknown dtype',
    /a has dtype "F8_E4M3", known are F32/,
    () => write('lie', { a: { ...f32([1], 0, 1), dtype: 'F8_E4M3' } }, 1),
  ],
  [
    'dtype of Object',
    /dtype "toString"/,
    () => write('lie', { a: { ...f32([1], 0, 1), dtype: 'toString' } }, 1),
  ],
  ['no shape', /shape undefined/, () => write('lie', { a: { dtype: 'F32', data_offsets: [0, 4] } }, 4)],
  ['negative extent', /shape \[-1\]/, () => write('lie', { a: f32([-1], 0, 4) }, 4)],
  ['fractional extent', /shape \[0\.5\]/, () => write('lie', { a: f32([0.5], 0, 2) }, 2)],
  ['empty tensor', /shape \[0\]/, () => write('lie', { a: f32([0], 0, 0) })],
  ['rank 7', /at most 6 extents/, () => write('lie', { a: f32([1, 1, 1, 1, 1, 1, 1], 0, 4) }, 4)],
  ['huge shape', /of 5\.07\d+e\+30 bytes/, () => write('lie', { a: f32([2 ** 50, 2 ** 50], 0, 4) }, 4)],
  [
    'offsets of one',
    /data_offsets \[0\]/,
    () => write('lie', { a: { dtype: 'F32', shape: [1], data_offsets: [0] } }, 4),
  ],
  ['offsets as text', /data_offsets \["0",4\]/, () => write('lie', { a: f32([1], '0', 4) }, 4)],
  ['offsets backwards', /data_offsets span -4/, () => write('lie', { a: f32([1], 4, 0) }, 4)],
  ['offsets beyond the end', /a ends at byte \d+, the file at/, () => write('lie', { a: f32([2], 0, 8) }, 7)],
  [
    'wrong size',
    /a is F32 \[3\] of 12 bytes, its data_offsets span 8/,
    () => write('lie', { a: f32([3], 0, 8) }, 8),
  ],
  [
    'overlap',
    /b begins at byte \d+, inside of a/,
    () => write('lie', { a: f32([2], 0, 8), b: f32([2], 4, 12) }, 12),
  ],
  [
    'gap',
    /nothing is said of bytes .* between a and b/,
    () => write('lie', { a: f32([1], 0, 4), b: f32([1], 8, 12) }, 12),
  ],
  [
    'more than described',
    /nothing is said of bytes .* after a/,
    () => write('lie', { a: f32([1], 0, 4) }, 9),
  ],
];

for (const [what, message, make] of lies)
  test.serial(`INVALID_FILE: ${what}`, (t) => {
    const start = memory().bytes;
    const file = make();
    throwsCode(t, 'INVALID_FILE', () => loadSafetensors(file), message);
    throwsCode(t, 'INVALID_FILE', () => loadSafetensors(file), new RegExp(`^loadSafetensors: ${file}: `));
    t.is(memory().bytes, start);
  });

test.serial('fuzz: changed and cut files are read or refused, nothing else', async (t) => {
  const state: State = new Map<string, Tensor<Shape, DType>>([
    ['a.weight', tensor([1, 2, 3, 4, 5, 6], [2, 3])],
    ['a.count', tensor(Int32Array.of(3))],
  ]);
  await saveSafetensors(path('seed'), state);
  disposeAll(state);
  const good = readFileSync(path('seed'));
  const start = memory().bytes;
  const random = hashed(99, 20_000);
  let at = 0;
  const below = (n: number) =>
    Math.min(n - 1, Math.floor(((random[at++ % random.length] as number) + 1) * 0.5 * n));
  const interesting = Buffer.from('0123456789-[]{}",:eFIBaw \0\xff', 'latin1');
  const outcomes = { read: 0, refused: 0 };
  for (let round = 0; round < 1500; round++) {
    const bytes = Buffer.from(good.subarray(0, below(4) === 0 ? below(good.length + 1) : good.length));
    for (let i = below(4); i >= 0 && bytes.length > 0; i--)
      bytes[below(bytes.length)] = below(2) ? (interesting[below(interesting.length)] as number) : below(256);
    writeFileSync(path('fuzzed'), bytes);
    try {
      disposeAll(loadSafetensors(path('fuzzed')));
      outcomes.read++;
    } catch (error) {
      if (!(error instanceof GroupConvError && error.code === 'INVALID_FILE')) throw error;
      outcomes.refused++;
    }
  }
  t.log(outcomes);
  t.true(outcomes.read > 20 && outcomes.refused > 200);
  t.is(memory().bytes, start);
});

test.serial('metadata: written beside format, read from the header alone', async (t) => {
  const state = { a: tensor([1, 2]) };
  await saveSafetensors(path('plain'), state);
  t.deepEqual(readSafetensorsMetadata(path('plain')), { format: 'pt' });
  const metadata = { 'groupconv.classes': JSON.stringify(['Kleid, "lang"', '包']) };
  await saveSafetensors(path('told'), state, { metadata });
  t.deepEqual(readSafetensorsMetadata(path('told')), { format: 'pt', ...metadata });
  const read = loadSafetensors(path('told'));
  t.deepEqual([...read.keys()], ['a']);
  disposeAll(read);
  await saveSafetensors(path('told'), state, { metadata: { format: 'np' } });
  t.deepEqual(readSafetensorsMetadata(path('told')), { format: 'np' });
  t.deepEqual(readSafetensorsMetadata(write('none', { a: f32([1], 0, 4) }, 4)), {});

  const save = (options: object) => saveSafetensors(path('refused'), state, options);
  await rejectsCode(t, 'INVALID_ARGUMENT', save({ meta: {} }), /unknown option meta; known are metadata/);
  await rejectsCode(
    t,
    'INVALID_ARGUMENT',
    save({ metadata: { classes: ['x'] } }),
    /classes is a string, found \["x"\]/,
  );
  t.false(readdirSync(folder).includes('refused'));
  state.a.dispose();

  const refuse = (file: string, message: RegExp) =>
    throwsCode(t, 'INVALID_FILE', () => readSafetensorsMetadata(file), message);
  refuse(path('absent'), /^readSafetensorsMetadata: .*absent: ENOENT/);
  refuse(write('lie', { __metadata__: 'text' }), /__metadata__ is "text", expected an object/);
  refuse(write('lie', { __metadata__: { a: 1 } }), /__metadata__ has 1 for a, expected a text/);
  refuse(write('lie', '{}', 0, 1000n), /the header ends at byte 1008, the file at 10/);
  writeFileSync(path('short'), 'abc');
  refuse(path('short'), /3 bytes are too few/);
});
