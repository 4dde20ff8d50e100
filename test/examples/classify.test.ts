// examples/classify.ts, run as a user runs it.

import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import test from 'ava';
import sharp from 'sharp';
import { readPicture } from '../../examples/classify/picture.js';
import { type Conv2d, ResNeXt, saveSafetensors } from '../../lib/index.js';
import { rejectsCode } from '../helpers/errors.js';

const folder = mkdtempSync(join(tmpdir(), 'groupconv-classify-'));
const path = (name: string) => join(folder, name);
test.after.always(() => rmSync(folder, { recursive: true }));

const script = fileURLToPath(new URL('../../examples/classify.ts', import.meta.url));
const run = (...args: string[]) => {
  const { stdout, stderr, status } = spawnSync(process.execPath, ['--import=tsx', script, ...args], {
    encoding: 'utf8',
  });
  return { stdout, stderr, status };
};

/** A picture of one colour, [red, green, blue]. */
const paint = (name: string, [r, g, b]: [number, number, number], width = 40, height = 30) =>
  sharp({ create: { width, height, channels: 3, background: { r, g, b } } }).toFile(path(name));

const classes = ['red', 'green', 'blue'];
const options = { blockRepeats: [[4, 1]], cardinality: 2, numClasses: 3, stem: 'cifar' } as const;
const metadata = {
  'groupconv.model': JSON.stringify({ name: 'ResNeXt', options }),
  'groupconv.input': JSON.stringify({ channels: 3, height: 8, width: 8, mean: [0.5, 0.5, 0.5], std: 0.5 }),
  'groupconv.classes': JSON.stringify(classes),
};

/** A ResNeXt whose logits are the mean colour: the stem keeps the channels, the shortcut carries them on. */
async function saveColourNetwork(name: string, extra: Record<string, string>): Promise<void> {
  const model = new ResNeXt(options);
  const stem = [...model.conv1][0] as Conv2d;
  const identity = (rows: number, columns: number, at: (i: number, j: number) => number) =>
    Float32Array.from({ length: rows * columns }, (_, i) => at(Math.floor(i / columns), i % columns));
  stem.weight.set(identity(64, 27, (k, i) => (i === 9 * k + 4 ? 1 : 0)));
  stem.bias?.set(new Float32Array(64));
  const state = model.stateDict();
  const set = (key: string, values: Float32Array) =>
    (state.get(key) as never as Conv2d['weight']).set(values);
  set(
    'conv2_blocks.0.shortcut.0.weight',
    identity(8, 64, (k, c) => (k === c ? 1 : 0)),
  );
  set('conv2_blocks.0.shortcut.0.bias', new Float32Array(8));
  set(
    'classifier.weight',
    identity(3, 8, (k, c) => (k === c ? 5 : 0)),
  );
  set('classifier.bias', new Float32Array(3));
  await saveSafetensors(path(name), state, { metadata: extra });
  model.dispose();
}

test.serial('a picture has the pixels, the layout and the scale that the network expects', async (t) => {
  await paint('colour.png', [255, 128, 0]);
  const input = { channels: 3, height: 6, width: 4, mean: [0.5, 0, 1], std: [0.5, 1, 2] } as const;
  const colour = await readPicture(path('colour.png'), input);
  t.is(colour.length, 3 * 24);
  for (const [channel, value] of [1, 128 / 255, -0.5].entries())
    t.true(colour.subarray(24 * channel, 24 * channel + 24).every((v) => Math.abs(v - value) < 1e-6));

  // Left half black, right half white: the middle of the wide picture is half and half.
  const wide = Buffer.from(Array.from({ length: 80 * 20 }, (_, i) => (i % 80 < 40 ? 0 : 255)));
  await sharp(wide, { raw: { width: 80, height: 20, channels: 1 } }).toFile(path('grey.png'));
  const grey = { channels: 1, height: 10, width: 10, mean: [0], std: [1], resize: 20 } as const;
  const picture = await readPicture(path('grey.png'), grey);
  t.deepEqual([...picture.subarray(0, 10)].map(Math.round), [0, 0, 0, 0, 0, 1, 1, 1, 1, 1]);
  t.is((await readPicture(path('grey.png'), input)).length, 3 * 24);

  writeFileSync(path('text.png'), 'no picture');
  await rejectsCode(t, 'INVALID_FILE', readPicture(path('text.png'), grey), /text\.png/);
});

test.serial(
  'the network, input and classes come from the file: top classes of several pictures',
  async (t) => {
    await saveColourNetwork('colours.safetensors', metadata);
    await paint('tomato.png', [240, 60, 50]);
    await paint('sky.jpg', [80, 90, 230], 25, 64);
    const { stdout, stderr, status } = run(
      ...[path('tomato.png'), path('sky.jpg'), '--weights', path('colours.safetensors'), '--top', '2'],
    );
    t.is(stderr, '');
    t.is(status, 0);
    const lines = stdout.trimEnd().split('\n');
    t.deepEqual([lines[0], lines[3]], ['tomato.png', 'sky.jpg']);
    t.regex(lines[1]!, /^ +9\d\.\d % {2}red$/);
    t.regex(lines[4]!, /^ +9\d\.\d % {2}blue$/);
    t.is(lines.length, 6);
  },
);

test.serial('what is wrong is told in a line, with status 1', async (t) => {
  await saveColourNetwork('bare.safetensors', {});
  await saveColourNetwork('lie.safetensors', { ...metadata, 'groupconv.input': '{"channels":2}' });
  await saveColourNetwork('broken.safetensors', { ...metadata, 'groupconv.model': '{' });
  await paint('any.png', [1, 2, 3]);
  const wrong: [string[], RegExp][] = [
    [[], /^usage: /],
    [[path('any.png')], /^usage: /],
    [[path('any.png'), '--weights', path('absent')], /absent: ENOENT/],
    [[path('any.png'), '--weights', path('bare.safetensors')], /doesn't say which network it holds: --model/],
    [[path('any.png'), '--weights', path('bare.safetensors'), '--model', 'x'], /unknown network "x"/],
    [[path('any.png'), '--weights', path('bare.safetensors'), '--model', 'ResNeXt'], /doesn't fit ResNeXt/],
    [[path('any.png'), '--weights', path('lie.safetensors')], /groupconv\.input is \{ channels: 1 or 3/],
    [[path('any.png'), '--weights', path('broken.safetensors')], /groupconv\.model is not JSON/],
    [[path('none.png'), '--weights', path('lie.safetensors'), '--top', '0'], /^usage: /],
    [[path('any.png'), '--weight', 'x'], /^Unknown option '--weight'/],
  ];
  for (const [args, message] of wrong) {
    const { stdout, stderr, status } = run(...args);
    t.is(status, 1, args.join(' '));
    t.is(stdout, '');
    t.regex(stderr, message);
  }
});
