import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  copyFileSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import test from 'ava';
import {
  fit,
  Generator,
  GroupConvError,
  getRandomState,
  type History,
  loadCheckpoint,
  memory,
  numThreads,
  optim,
  randn,
  saveCheckpoint,
  saveSafetensors,
  setNumThreads,
  tensor,
} from '../../lib/index.js';
import { throwsCode } from '../helpers/errors.js';
import { settled } from '../helpers/memory.js';
import { digest } from '../helpers/state.js';
import { toyDataset, toyTraining } from '../helpers/toyTraining.js';

test.serial.beforeEach(settled); // what earlier tests forgot is not to vanish while memory is compared

const folder = mkdtempSync(join(tmpdir(), 'groupconv-checkpoint-'));
test.after.always(() => rmSync(folder, { recursive: true }));
const file = (name: string) => join(folder, name);

/** What must be equal, bit for bit. */
const scores = ({ epochs }: History) =>
  epochs.map(({ train, validation, lr }) => ({ train, validation, lr }));

test.serial('a seeded training repeats bitwise, on any number of threads', async (t) => {
  const before = numThreads();
  const run = async (threads: number, seed = 1) => {
    setNumThreads(threads);
    const { model, options } = toyTraining(seed);
    const history = scores(await fit(model, options));
    return {
      history,
      weights: digest(model),
      average: String(options.ema.stateDict().get('head.2.weight')?.dataSync()),
    };
  };
  const [one, two, other] = [await run(1), await run(2), await run(1, 2)];
  setNumThreads(before);
  t.deepEqual(one, two);
  t.notDeepEqual(one.history, other.history);
  t.true(one.history[2]!.train.loss < one.history[0]!.train.loss, 'it learns, too');
});

test.serial("a scaler's state goes along, and a training with one resumes bit for bit", async (t) => {
  const parts = () => {
    const { model, options } = toyTraining();
    const scaler = new optim.GradScaler({ growthInterval: 4 });
    return { model, options: { ...options, scaler } };
  };
  const whole = parts();
  const expected = scores(await fit(whole.model, { ...whole.options, epochs: 2 }));
  t.true(expected[1]!.train.loss < expected[0]!.train.loss, 'it learns, too');
  const path = file('scaled');
  for (const epochs of [1, 2]) {
    const { model, options } = parts();
    const history = await fit(model, { ...options, epochs, checkpoint: { path, resume: true } });
    t.deepEqual(scores(history), expected.slice(0, epochs));
    if (epochs === 2) t.deepEqual(options.scaler.state(), whole.options.scaler.state());
  }
  const without = toyTraining();
  const resume = { ...without.options, epochs: 3, checkpoint: { path, resume: true } };
  await t.throwsAsync(fit(without.model, resume), { message: /scaler/ });
  rmSync(path);
});

test.serial('a resumed training is the unbroken one, bit for bit', async (t) => {
  const whole = toyTraining();
  const expected = scores(await fit(whole.model, whole.options));
  const path = file('resumed');
  for (const epochs of [1, 2, 3]) {
    const { model, options } = toyTraining();
    if (epochs > 1) randn([epochs]).dispose(); // a position of the generator that the checkpoint corrects
    const history = await fit(model, { ...options, epochs, checkpoint: { path, resume: true } });
    t.deepEqual(scores(history), expected.slice(0, epochs));
    if (epochs === 3) t.deepEqual(digest(model), digest(whole.model));
  }
  // Nothing is left to do.
  const { model, options } = toyTraining();
  t.deepEqual(scores(await fit(model, { ...options, checkpoint: { path, resume: true } })), expected);
  t.deepEqual(digest(model), digest(whole.model));
  t.deepEqual(readdirSync(folder), ['resumed']);
});

test.serial('a checkpoint holds every state, and loading it leaks nothing', async (t) => {
  const path = file('all');
  const { model, options } = toyTraining();
  await fit(model, { ...options, epochs: 1 });
  const { optimizer, ema, train } = options;
  const parts = { model, optimizer, ema, loaders: [train] };
  const random = getRandomState();
  await saveCheckpoint(path, parts, { note: 'ключ' });
  const before = [digest(model), [...optimizer.stateDict()].map(([key, value]) => [key, value.dataSync()])];
  randn([5]).dispose();
  train.epoch = 7;
  for (const parameter of model.parameters()) parameter.set(new Float32Array(parameter.size));
  const { bytes } = await settled();
  t.deepEqual(loadCheckpoint(path, parts), { note: 'ключ' });
  t.is((await settled()).bytes, bytes);
  t.deepEqual(
    [digest(model), [...optimizer.stateDict()].map(([key, value]) => [key, value.dataSync()])],
    before,
  );
  t.deepEqual([getRandomState(), train.epoch], [random, 1]);
});

test.serial('what is no checkpoint, or one of another training', async (t) => {
  const path = file('other');
  const { model, options } = toyTraining();
  const { optimizer, train, ema } = options;
  await saveCheckpoint(path, { model, optimizer, ema, loaders: [train] }, null);
  const load = (where: string, parts: object = {}) =>
    loadCheckpoint(where, { model, optimizer, ema, loaders: [train], ...parts });
  throwsCode(t, 'INVALID_ARGUMENT', () => load(path, { ema: undefined }), /this training keeps none/);
  throwsCode(t, 'INVALID_FILE', () => load(path, { loaders: [] }), /1 loaders, 0 are needed/);
  throwsCode(t, 'INVALID_ARGUMENT', () => load(path, { model: toyTraining().model.head }), /doesn't fit/);
  throwsCode(t, 'INVALID_FILE', () => load(file('missing')), /ENOENT/);
  await saveSafetensors(file('weights'), model.stateDict());
  throwsCode(t, 'INVALID_FILE', () => load(file('weights')), /no checkpoint/);
  for (const [text, message] of [
    ['{', /not JSON/],
    ['{"version":2}', /version 2/],
    ['null', /version undefined/],
  ] as const) {
    await saveSafetensors(file('lie'), { x: tensor([1]) }, { metadata: { 'groupconv.checkpoint': text } });
    throwsCode(t, 'INVALID_FILE', () => load(file('lie')), message);
  }
  // Broken in any place: an error with a code, never a crash.
  const good = readFileSync(path);
  for (let round = 0; round < 60; round++) {
    const random = new Generator(5, [round, 0]);
    const broken = Buffer.from(good.subarray(0, round % 2 ? good.length : random.below(good.length)));
    if (broken.length > 0) broken[random.below(Math.min(broken.length, 3000))]! ^= 1 << random.below(8);
    writeFileSync(file('broken'), broken);
    try {
      load(file('broken'));
    } catch (error) {
      t.true(error instanceof GroupConvError, String(error));
    }
  }
  const small = new (await import('../../lib/index.js')).DataLoader(toyDataset(32, 1), {
    batchSize: 16,
    seed: train.seed,
  });
  const training = { ...options, train: small };
  const stepped = file('steps');
  await fit(model, { ...options, epochs: 1, checkpoint: { path: stepped } });
  await t.throwsAsync(fit(model, { ...training, checkpoint: { path: stepped, resume: true } }), {
    message: /epochs of 6 steps, this one has 2/,
  });
});

const child = fileURLToPath(new URL('../helpers/crashingTraining.ts', import.meta.url));

/** Runs the child; resolves with what it printed and how it ended. */
async function run(path: string, crash: number, killAfter = Infinity) {
  const process_ = spawn(process.execPath, ['--import=tsx', child, path, String(crash)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let printed = '';
  process_.stdout.on('data', (text) => {
    printed += text;
  });
  const timer = killAfter < Infinity ? setTimeout(() => process_.kill('SIGKILL'), killAfter) : undefined;
  const [code, signal] = await once(process_, 'close');
  clearTimeout(timer);
  return { lines: printed.trim().split('\n'), code, signal };
}

test.serial(
  'killed at any moment: the checkpoint is whole, and the resumed training is the unbroken one',
  async (t) => {
    t.timeout(240_000);
    const expected = (await run(file('unbroken'), 0)).lines;
    const operations = Number(expected.pop()) / 3; // of one checkpoint
    t.true(operations > 8);
    const path = file('crashing');
    const epochsOf = () => {
      const { model, options } = toyTraining();
      const { optimizer, ema, train, validation } = options;
      const progress = loadCheckpoint(path, { model, optimizer, ema, loaders: [train, validation] });
      return (progress as { epochs: unknown[] }).epochs.length;
    };
    // Dies while it writes the second checkpoint, at every kind of operation: opening, the header, a tensor, sync, close,
    // rename (before and after), the folder's sync.
    const first = file('first');
    await run(first, operations + 1);
    t.true(existsSync(first));
    const points = [2, 3, 4, operations - 6, operations - 5, operations - 4, operations - 3, operations - 1];
    for (const point of points) {
      copyFileSync(first, path);
      const { signal } = await run(path, point);
      t.is(signal, 'SIGKILL');
      t.is(epochsOf(), point >= operations - 3 ? 2 : 1, `operation ${point} of ${operations}`);
    }
    const { lines, code } = await run(path, 0);
    t.is(code, 0);
    lines.pop();
    t.deepEqual(lines, expected);
    t.deepEqual(
      readdirSync(folder).filter((name) => name.includes('crashing')),
      ['crashing'],
      'no temporary file is left',
    );
  },
);

test.serial('killed by somebody else', async (t) => {
  t.timeout(240_000);
  const path = file('killed');
  const expected = (await run(file('calm'), 0)).lines;
  let last: string[] = [];
  for (const delay of [1100, 1300, 1600, Infinity]) ({ lines: last } = await run(path, 0, delay));
  t.deepEqual(last.slice(0, -1), expected.slice(0, -1));
  t.true(memory().bytes >= 0);
});
