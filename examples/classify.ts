/**
 * What is on pictures, by a trained network: `npm run classify -- photo.jpg --weights resnext50.safetensors --model
 * resnext50_32x4d`. A file that says itself which network it holds (README, "Weights") needs no --model.
 */
import { basename } from 'node:path';
import { parseArgs } from 'node:util';
import { GroupConvError, noGrad, scope, softmax, tensor } from '../lib/index.js';
import { type Classifier, loadClassifier, modelNames } from './classify/classifier.js';
import { readPicture } from './classify/picture.js';

const usage = `usage: npm run classify -- IMAGE… --weights FILE [--model NAME] [--classes FILE] [--top 5]
  --weights FILE  safetensors, from groupconv, torchvision or timm
  --model NAME    the network, where the file doesn't say: ${modelNames.join(', ')}
  --classes FILE  the classes' names, one on each line, where the file doesn't say
  --top COUNT     classes to show`;

/** Rows of probabilities, [images.length][classes]. */
async function classify({ model, input }: Classifier, images: readonly string[]): Promise<Float32Array[]> {
  const pictures = await Promise.all(images.map((image) => readPicture(image, input)));
  const { channels, height, width } = input;
  const batch = new Float32Array(pictures.length * channels * height * width);
  for (const [n, picture] of pictures.entries()) batch.set(picture, n * picture.length);
  const probabilities = scope(() =>
    noGrad(() => softmax(model.forward(tensor(batch, [pictures.length, channels, height, width])))),
  );
  const values = await probabilities.data();
  const classes = values.length / pictures.length;
  probabilities.dispose();
  return pictures.map((_, n) => values.subarray(n * classes, (n + 1) * classes));
}

function show(image: string, probabilities: Float32Array, classes: readonly string[], top: number): void {
  console.log(basename(image));
  const order = [...probabilities.keys()].sort((a, b) => probabilities[b]! - probabilities[a]!);
  for (const index of order.slice(0, top))
    console.log(
      `${(100 * probabilities[index]!).toFixed(1).padStart(7)} %  ${classes[index] ?? `class ${index}`}`,
    );
}

async function main(): Promise<void> {
  const { values, positionals: images } = parseArgs({
    allowPositionals: true,
    options: {
      weights: { type: 'string' },
      model: { type: 'string' },
      classes: { type: 'string' },
      top: { type: 'string', default: '5' },
    },
  });
  const top = Number(values.top);
  if (images.length === 0 || values.weights === undefined || !Number.isInteger(top) || top < 1)
    throw new GroupConvError('INVALID_ARGUMENT', usage);
  const classifier = loadClassifier(values.weights, values);
  const rows = await classify(classifier, images);
  for (const [n, row] of rows.entries()) show(images[n]!, row, classifier.classes, top);
  classifier.model.dispose();
}

main().catch((error: Error) => {
  console.error('code' in error ? error.message : error); // an error of ours or of Node's, for users
  process.exitCode = 1;
});
