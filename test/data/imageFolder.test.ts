import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import test from 'ava';
import sharp from 'sharp';
import { DataLoader, imageFolder, resize } from '../../lib/index.js';
import { rejectsCode } from '../helpers/errors.js';

const root = mkdtempSync(join(tmpdir(), 'groupconv-images-'));
test.after.always(() => rmSync(root, { recursive: true }));

/** An image of one colour, red, green, blue and opacity from 0 to 255. */
async function paint(file: string, width: number, height: number, colour: [number, number, number, number]) {
  const [r, g, b, alpha] = colour;
  const background = { r, g, b, alpha: alpha / 255 };
  await sharp({ create: { width, height, channels: 4, background } }).toFile(file);
}

test.before(async () => {
  for (const name of ['dogs', 'cats', 'cats/deep']) mkdirSync(join(root, name), { recursive: true });
  await paint(join(root, 'dogs', 'b.png'), 6, 4, [10, 20, 30, 255]);
  await paint(join(root, 'cats', 'deep', 'a.PNG'), 3, 5, [200, 100, 50, 255]);
  await sharp({ create: { width: 8, height: 8, channels: 3, background: '#808080' } })
    .greyscale()
    .toFile(join(root, 'cats', 'grey.png'));
  writeFileSync(join(root, 'cats', 'notes.txt'), 'no image');
  writeFileSync(join(root, 'stray.png'), 'outside of every class');
});

test('classes are folders, samples their images', async (t) => {
  const data = await imageFolder(root);
  t.deepEqual([data.classes, data.length], [['cats', 'dogs'], 3]);
  const dog = await data.get(2);
  t.deepEqual([dog.label, dog.image.channels, dog.image.height, dog.image.width], [1, 3, 4, 6]);
  t.deepEqual(
    [...dog.image.data],
    [10, 20, 30].flatMap((value) => Array.from({ length: 24 }, () => value)),
  );
  const grey = await data.get(1);
  t.deepEqual([grey.image.channels, new Set(grey.image.data)], [3, new Set([128])]);
  const one = await (await imageFolder(root, { channels: 1 })).get(0);
  t.deepEqual([one.image.channels, one.image.height, one.image.data.length], [1, 5, 15]);
});

test('a loader makes batches of them once their sizes are one', async (t) => {
  const data = await imageFolder(root);
  const shapes: (readonly number[])[] = [];
  for await (const { images, labels } of new DataLoader(data, { batchSize: 2, transform: resize([4, 4]) })) {
    shapes.push(images.shape, [...labels.dataSync()]);
    t.true(images.dataSync().every((value) => value >= 0 && value <= 1));
  }
  t.deepEqual(shapes, [[2, 3, 4, 4], [0, 0], [1, 3, 4, 4], [1]]);
  const uneven = new DataLoader(data, { batchSize: 3 })[Symbol.asyncIterator]();
  await rejectsCode(t, 'INVALID_SHAPE', uneven.next(), /others of its batch/);
});

test('what is missing or broken', async (t) => {
  await rejectsCode(t, 'INVALID_FILE', imageFolder(join(root, 'nowhere')), /ENOENT/);
  await rejectsCode(
    t,
    'INVALID_FILE',
    imageFolder(join(root, 'dogs')),
    /no images in folders named by class/,
  );
  await rejectsCode(t, 'INVALID_ARGUMENT', imageFolder(root, { channels: 2 as 3 }), /channels is 1 or 3/);
  await rejectsCode(t, 'INVALID_ARGUMENT', imageFolder(root, { size: 3 } as object), /unknown option size/);
  const broken = mkdtempSync(join(tmpdir(), 'groupconv-images-'));
  mkdirSync(join(broken, 'class'));
  const sound = await sharp({ create: { width: 64, height: 64, channels: 3, background: 'red' } })
    .png()
    .toBuffer();
  writeFileSync(join(broken, 'class', 'cut.png'), sound.subarray(0, sound.length / 2));
  const data = await imageFolder(broken);
  await rejectsCode(t, 'INVALID_FILE', Promise.resolve(data.get(0)), /cut\.png/);
  await rejectsCode(t, 'INVALID_ARGUMENT', Promise.resolve(data.get(1)), /sample 1 of 1/);
  // A loader tells it where it is read, also when it was prepared ahead.
  const loop = async () => {
    for await (const _ of new DataLoader(data, { batchSize: 1 })) t.fail();
  };
  await rejectsCode(t, 'INVALID_FILE', loop(), /cut\.png/);
  rmSync(broken, { recursive: true });
});

test('without sharp it says how to get it', async (t) => {
  const hooks = `export const resolve = (name, context, next) => {
    if (name === 'sharp') throw Object.assign(new Error("Cannot find package 'sharp'"), { code: 'ERR_MODULE_NOT_FOUND' });
    return next(name, context);
  };`;
  const script = `import { register } from 'node:module';
    register('data:text/javascript,' + encodeURIComponent(${JSON.stringify(hooks)}));
    const { imageFolder } = await import(${JSON.stringify(new URL('../../lib/index.ts', import.meta.url).href)});
    await imageFolder('.').catch((error) => console.log(error.code, error.message));`;
  const { stdout } = await promisify(execFile)(process.execPath, [
    '--import=tsx',
    '--input-type=module',
    '-e',
    script,
  ]);
  t.regex(stdout, /^UNSUPPORTED .*npm install sharp/);
});
