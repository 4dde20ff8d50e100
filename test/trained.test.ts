/** The trained network of the repository: what its card promises, it keeps. */
import { readFileSync, statSync } from 'node:fs';
import test from 'ava';
import { loadTrained, sampleImages, WEIGHTS } from '../examples/fashion/trained.js';
import {
  DataLoader,
  evaluate,
  fashionMnist,
  normalize,
  saveSafetensors,
  subset,
  tensor,
} from '../lib/index.js';
import { throwsCode } from './helpers/errors.js';
import { fashionFolder, noFashion } from './helpers/fashion.js';

const card = readFileSync(WEIGHTS.replace('.safetensors', '.md'), 'utf8');

test('the file is small, and its card names its accuracy', (t) => {
  t.true(statSync(WEIGHTS).size <= 2_000_000);
  t.regex(card, /Test accuracy: \d\d\.\d\d %/);
  t.regex(card, /Seed: \d+/);
});

test.serial('its accuracy on 1,000 test images', async (t) => {
  if (!fashionFolder) {
    t.log(noFashion);
    t.pass();
    return;
  }
  const { model, mean, std, classes } = loadTrained();
  const data = await fashionMnist(fashionFolder, 'test');
  t.deepEqual(classes, data.classes);
  const first = subset(
    data,
    Array.from({ length: 1000 }, (_, i) => i),
  );
  const { accuracy = 0 } = await evaluate(
    model,
    new DataLoader(first, { batchSize: 200, transform: normalize(mean, std) }),
  );
  const promised = Number(/On the first 1,000 test images: (\d\d\.\d) %/.exec(card)?.[1]);
  // Instruction sets round differently: an image on the edge may go the other way.
  t.true(Math.abs(100 * accuracy - promised) <= 0.31, `${100 * accuracy} %, the card says ${promised} %`);
  model.dispose();
});

test.serial('it knows the samples of the demo', async (t) => {
  const { model, mean, std, classes } = loadTrained();
  const images = await sampleImages();
  t.is(images.length, classes.length);
  const toInput = normalize(mean, std);
  const inputs = images.flatMap((image) => [...toInput(image, null as never).data]);
  const logits = model.forward(tensor(inputs, [10, 1, 28, 28]));
  const values = logits.dataSync();
  const right = classes.filter((_, row) => {
    const own = values.subarray(row * 10, row * 10 + 10);
    return own.indexOf(Math.max(...own)) === row;
  });
  t.true(right.length >= 9, `${right}`);
  model.dispose();
});

test('another file is an error', async (t) => {
  const path = `${process.env.TMPDIR ?? '/tmp'}/groupconv-other-${process.pid}.safetensors`;
  await saveSafetensors(path, { x: tensor([1]) });
  throwsCode(t, 'INVALID_FILE', () => loadTrained(path), /no groupconv\.model/);
});
