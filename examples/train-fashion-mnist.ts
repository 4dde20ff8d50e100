/**
 * Trains a small ResNeXt and a small depthwise-separable network on Fashion-MNIST and writes weights, curves and a page
 * of results. `npm run example:fashion -- --help`.
 */
import { copyFileSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import {
  type ArrayDataset,
  accuracy,
  ConfusionMatrix,
  devices,
  evaluate,
  fashionMnist,
  fit,
  manualSeed,
  saveSafetensors,
  topK,
} from '../lib/index.js';
import { modelCard } from './fashion/card.js';
import { type Network, type NetworkName, networks } from './fashion/networks.js';
import { curvesSvg, page, type Result } from './fashion/page.js';
import { Predictions } from './fashion/predictions.js';
import { defaults, MEAN, recipe, STD, testLoader } from './fashion/recipe.js';
import { WEIGHTS } from './fashion/trained.js';
import { clock, epochTable, Progress } from './progress.js';

const help = `Usage: npm run example:fashion -- [options]
  --data DIR       folder with Fashion-MNIST's four files (default: /usr/share/datasets/fashion-mnist, where
                   "apt-get install dataset-fashion-mnist" puts them; otherwise from github.com/zalandoresearch/fashion-mnist)
  --out DIR        where results go (default: examples/results/fashion-mnist)
  --network NAME   resnext, separable or all (default)
  --epochs N       default ${defaults.epochs}
  --seed N         default 1
  --resume         go on from the checkpoints in --out
  --stop-after S   end after S seconds (with the epoch that runs), to go on with --resume
  --publish        put the ResNeXt's weights and their card into examples/weights`;

const { values } = parseArgs({
  options: {
    data: { type: 'string', default: '/usr/share/datasets/fashion-mnist' },
    out: { type: 'string', default: fileURLToPath(new URL('results/fashion-mnist', import.meta.url)) },
    network: { type: 'string', default: 'all' },
    epochs: { type: 'string', default: String(defaults.epochs) },
    seed: { type: 'string', default: '1' },
    resume: { type: 'boolean', default: false },
    'stop-after': { type: 'string', default: 'Infinity' },
    publish: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});

function fail(message: string): never {
  console.error(`${message}\n\n${help}`);
  process.exit(2);
}

if (values.help) {
  console.log(help);
  process.exit(0);
}
const { data: folder, out } = values;
const [epochs, seed, stopAfter] = [values.epochs, values.seed, values['stop-after']].map(Number) as [
  number,
  number,
  number,
];
const names = (values.network === 'all' ? Object.keys(networks) : [values.network]) as NetworkName[];
for (const name of names) if (!Object.hasOwn(networks, name)) fail(`--network ${name}: no such network`);
if (!(Number.isInteger(epochs) && epochs > 0)) fail(`--epochs ${values.epochs}: expected a whole number`);
if (!existsSync(folder)) fail(`--data ${folder}: no such folder`);

const started = performance.now();
const [train, test] = await Promise.all([fashionMnist(folder, 'train'), fashionMnist(folder, 'test')]);
const [cpu] = devices();
console.log(
  `Fashion-MNIST: ${train.length} images to train, ${test.length} to test; ${cpu?.isa}, ${cpu?.threads} threads, seed ${seed}`,
);
mkdirSync(out, { recursive: true });

/** Trains one network (or goes on) and tests it; null when the time was over before. */
async function run(name: NetworkName, network: Network): Promise<Result | null> {
  manualSeed(seed);
  const model = network.make();
  const parameters = model.parameters().reduce((sum, { size }) => sum + size, 0);
  console.log(`\n${network.title}: ${parameters.toLocaleString('en')} parameters`);
  const options = recipe(model, train, { ...defaults, epochs });
  const controller = new AbortController();
  process.once('SIGINT', () => controller.abort());
  const progress = new Progress(epochs, epochs * options.train.length, options.train.batchSize);
  const history = await fit(model, {
    ...options,
    validation: testLoader(test),
    onStep: progress.onStep,
    onEpoch: () => {
      if ((performance.now() - started) / 1000 > stopAfter) controller.abort();
    },
    checkpoint: { path: join(out, `${name}.checkpoint.safetensors`), resume: values.resume },
    signal: controller.signal,
  });
  progress.stop();
  for (const line of epochTable(history.epochs)) console.log(line);
  if (history.aborted) {
    console.log(`stopped after epoch ${history.epochs.length}; --resume goes on`);
    return null;
  }
  const result = await options.ema.use(() => testModel(network, model, parameters, history.epochs));
  const weights = join(out, `${name}.safetensors`);
  await saveSafetensors(weights, options.ema.stateDict(), { metadata: metadataOf(network, test) });
  if (values.publish && name === 'resnext') {
    copyFileSync(weights, WEIGHTS);
    const command = `npm run example:fashion -- --epochs ${epochs} --seed ${seed}`;
    writeFileSync(WEIGHTS.replace(/safetensors$/, 'md'), modelCard(result, command));
  }
  console.log(
    `${network.title}: test accuracy ${(100 * result.accuracy).toFixed(2)} %, top-5 ${(100 * result.top5).toFixed(2)} %`,
  );
  return result;
}

async function testModel(
  network: Network,
  model: ReturnType<Network['make']>,
  parameters: number,
  history: Result['epochs'],
): Promise<Result> {
  const confusion = new ConfusionMatrix(test.classes.length);
  const predictions = new Predictions(test);
  const scores = await evaluate(model, testLoader(test), {
    metrics: { accuracy, top5: topK(5) },
    onBatch: (logits, labels) => {
      confusion.add(logits, labels);
      predictions.add(logits, labels);
    },
  });
  return {
    title: network.title,
    parameters,
    seed,
    accuracy: scores.accuracy as number,
    top5: scores.top5 as number,
    epochs: history,
    confusion,
    firstThousand: predictions.accuracy(1000),
    predictions: predictions.shown(20),
  };
}

/** What whoever uses the weights has to know. */
function metadataOf({ description }: Network, { shape: [, channels, height, width], classes }: ArrayDataset) {
  return {
    'groupconv.model': JSON.stringify(description),
    'groupconv.input': JSON.stringify({ channels, height, width, mean: [MEAN], std: [STD] }),
    'groupconv.classes': JSON.stringify(classes),
  };
}

const results: Result[] = [];
for (const name of names) {
  const result = await run(name, networks[name]);
  if (!result) process.exit(0);
  results.push(result);
}
writeFileSync(join(out, 'curves.svg'), await curvesSvg(results));
writeFileSync(join(out, 'index.html'), await page(results, test.classes));
console.log(`\n${clock((performance.now() - started) / 1000)} minutes; ${join(out, 'index.html')}`);
