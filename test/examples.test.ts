/** The examples, from the command line, on a few images of noise. */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import test from 'ava';
import { Generator, loadSafetensors, readSafetensorsMetadata } from '../lib/index.js';

const folder = mkdtempSync(join(tmpdir(), 'groupconv-examples-'));
test.after.always(() => rmSync(folder, { recursive: true }));

/** A dataset of Fashion-MNIST's form: images of noise, every label as often. */
function writeImages(prefix: string, count: number): void {
  const random = new Generator(count);
  const [images, labels] = [Buffer.alloc(16 + count * 784), Buffer.alloc(8 + count)];
  images.set([0, 0, 8, 3]);
  labels.set([0, 0, 8, 1]);
  for (const [i, extent] of [count, 28, 28].entries()) images.writeUInt32BE(extent, 4 + 4 * i);
  labels.writeUInt32BE(count, 4);
  for (let i = 16; i < images.length; i++) images[i] = random.below(256);
  for (let i = 0; i < count; i++) labels[8 + i] = i % 10;
  writeFileSync(join(folder, `${prefix}-images-idx3-ubyte`), images);
  writeFileSync(join(folder, `${prefix}-labels-idx1-ubyte`), labels);
}
writeImages('train', 256);
writeImages('t10k', 50);

const example = (name: string, ...args: string[]) => [
  '--import=tsx',
  fileURLToPath(new URL(`../examples/${name}`, import.meta.url)),
  '--data',
  folder,
  ...args,
];
const run = (name: string, ...args: string[]) =>
  promisify(execFile)(process.execPath, example(name, ...args), { timeout: 120_000 });

test.serial('train-fashion-mnist: killed, resumed, and what it writes', async (t) => {
  const out = join(folder, 'fashion');
  const args = ['--network', 'resnext', '--epochs', '4', '--out', out];
  const killed = spawn(process.execPath, example('train-fashion-mnist.ts', ...args), {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  for await (const text of killed.stdout) if (String(text).includes('epoch 3/4')) break;
  killed.kill('SIGKILL');
  if (killed.signalCode === null) await once(killed, 'exit');
  const { stdout } = await run('train-fashion-mnist.ts', ...args, '--resume');
  t.false(stdout.includes('epoch 1/4'), 'it goes on where it was');
  t.regex(stdout, /\n\s+4 .*% .*\n.*test accuracy \d+\.\d\d %, top-5/);
  t.deepEqual(readdirSync(out).sort(), [
    'curves.svg',
    'index.html',
    'resnext.checkpoint.safetensors',
    'resnext.safetensors',
  ]);
  const page = readFileSync(join(out, 'index.html'), 'utf8');
  t.regex(readFileSync(join(out, 'curves.svg'), 'utf8'), /^<svg.*accuracy in %/s);
  t.is(page.match(/<figure/g)?.length, 40, '20 images and 20 mistakes');
  t.regex(page, /Ankle boot.*<svg|<svg.*Ankle boot/s);
  const metadata = readSafetensorsMetadata(join(out, 'resnext.safetensors'));
  t.like(JSON.parse(metadata['groupconv.input'] ?? ''), { channels: 1, height: 28, width: 28 });
  const state = loadSafetensors(join(out, 'resnext.safetensors'));
  t.true(state.has('conv1.0.weight'));
  for (const tensor of state.values()) tensor.dispose();
});

test.serial('train-fashion-mnist: wrong arguments', async (t) => {
  const rejected = async (...args: string[]) => {
    const error = await t.throwsAsync(run('train-fashion-mnist.ts', ...args));
    return String((error as Error & { stderr?: string }).stderr);
  };
  t.regex(await rejected('--network', 'vgg'), /--network vgg: no such network/);
  t.regex(await rejected('--epochs', 'many'), /--epochs many/);
});

test.serial('cardinality: goes on where it stopped, and reports', async (t) => {
  const out = join(folder, 'cardinality');
  const args = ['--images', '64', '--epochs', '1', '--seeds', '1', '--out', out];
  const first = await run('cardinality.ts', ...args, '--stop-after', '0');
  t.regex(first.stdout, /stopped/);
  t.false(existsSync(join(out, 'report.md')));
  const { stdout } = await run('cardinality.ts', ...args);
  t.regex(stdout, /10 trainings, 1 done before/);
  const report = readFileSync(join(out, 'report.md'), 'utf8');
  t.is(report.match(/^\| \d+ \|/gm)?.length, 5);
  t.regex(report, /residuals lower the test error/);
  t.regex(readFileSync(join(out, 'chart.svg'), 'utf8'), /^<svg/);
});
