/**
 * The ResNeXt paper's tables 2 to 5 at small scale: does cardinality beat width at equal parameters, and do residuals
 * help? Thirty trainings on Fashion-MNIST. `npm run example:cardinality -- --help`.
 */
import { appendFileSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import {
  type ArrayDataset,
  compose,
  DataLoader,
  evaluate,
  fashionMnist,
  fit,
  manualSeed,
  normalize,
  optim,
  randomHorizontalFlip,
  subset,
} from '../lib/index.js';
import type { Run } from './cardinality/findings.js';
import { CARDINALITIES, makeNetwork, type Variant } from './cardinality/networks.js';
import { chart, report } from './cardinality/report.js';
import { MEAN, STD, testLoader } from './fashion/recipe.js';
import { clock } from './progress.js';

const help = `Usage: npm run example:cardinality -- [options]
  --data DIR      folder with Fashion-MNIST (default: /usr/share/datasets/fashion-mnist)
  --out DIR       where runs.jsonl, report.md and chart.svg go (default: examples/results/cardinality); trainings that
                  runs.jsonl has are not repeated
  --images N      training images, the first of the set (default 10000)
  --epochs N      default 5
  --seeds N       trainings of each variant (default 3)
  --stop-after S  end with the training that runs after S seconds
  --restart       forget the trainings that were done`;

const { values } = parseArgs({
  options: {
    data: { type: 'string', default: '/usr/share/datasets/fashion-mnist' },
    out: { type: 'string', default: fileURLToPath(new URL('results/cardinality', import.meta.url)) },
    images: { type: 'string', default: '10000' },
    epochs: { type: 'string', default: '5' },
    seeds: { type: 'string', default: '3' },
    'stop-after': { type: 'string', default: 'Infinity' },
    restart: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});
if (values.help) {
  console.log(help);
  process.exit(0);
}
const [images, epochs, seeds, stopAfter] = [
  values.images,
  values.epochs,
  values.seeds,
  values['stop-after'],
].map(Number) as [number, number, number, number];

const BATCH = 64;
const LR = 0.05;
const setting = `Fashion-MNIST, the first ${images.toLocaleString('en')} training images, ${epochs} epochs of batches of ${BATCH}, all
10,000 test images; SGD (lr ${LR}, cosine, Nesterov 0.9, weight decay 5e-4), flips, no averaging.`;

/** Trains one network and tests it. */
async function train(variant: Variant, seed: number, data: ArrayDataset, test: ArrayDataset): Promise<Run> {
  manualSeed(seed);
  const model = makeNetwork(variant);
  const loader = new DataLoader(
    subset(
      data,
      Array.from({ length: images }, (_, i) => i),
    ),
    {
      batchSize: BATCH,
      shuffle: true,
      dropLast: true,
      transform: compose(randomHorizontalFlip(), normalize([MEAN], [STD])),
    },
  );
  const optimizer = new optim.SGD(optim.decayGroups(model), {
    lr: LR,
    momentum: 0.9,
    nesterov: true,
    weightDecay: 5e-4,
  });
  const warm = Math.ceil(loader.length / 2);
  const schedule = optim.warmup({
    steps: warm,
    after: optim.cosine({ total: epochs * loader.length - warm + 1 }),
  });
  const history = await fit(model, { train: loader, epochs, optimizer, schedule });
  const { accuracy = Number.NaN } = await evaluate(model, testLoader(test));
  const run = {
    ...variant,
    seed,
    parameters: model.parameters().reduce((sum, { size }) => sum + size, 0),
    error: 100 * (1 - accuracy),
    trainLoss: history.epochs.at(-1)?.train.loss ?? Number.NaN,
    seconds: history.epochs.reduce((sum, { seconds }) => sum + seconds, 0),
  };
  optimizer.dispose();
  model.dispose();
  return run;
}

mkdirSync(values.out, { recursive: true });
const file = join(values.out, 'runs.jsonl');
if (values.restart) rmSync(file, { force: true });

/** The trainings that were done with this setting. A line that a killed process has left unfinished doesn't count. */
function finished(): Run[] {
  if (!existsSync(file)) return [];
  return readFileSync(file, 'utf8')
    .split('\n')
    .flatMap((line) => {
      try {
        const { setting: own, ...run } = JSON.parse(line) as Run & { setting: string };
        return own === setting ? [run] : [];
      } catch {
        return [];
      }
    });
}

const runs = finished();
const wanted = Array.from({ length: seeds }, (_, i) => i + 1).flatMap((seed) =>
  [true, false].flatMap((residual) => CARDINALITIES.map((cardinality) => ({ cardinality, residual, seed }))),
);
const isDone = ({ cardinality, residual, seed }: Variant & { seed: number }) =>
  runs.some((run) => run.cardinality === cardinality && run.residual === residual && run.seed === seed);
const left = wanted.filter((one) => !isDone(one));
console.log(`${wanted.length} trainings, ${wanted.length - left.length} done before`);

const started = performance.now();
const [data, test] = await Promise.all([
  fashionMnist(values.data, 'train'),
  fashionMnist(values.data, 'test'),
]);
for (const [i, { seed, ...variant }] of left.entries()) {
  const run = await train(variant, seed, data, test);
  runs.push(run);
  appendFileSync(file, `${JSON.stringify({ ...run, setting })}\n`);
  const seconds = (performance.now() - started) / 1000;
  console.log(
    `cardinality ${run.cardinality}, ${run.residual ? 'residual' : 'plain'}, seed ${seed}: test error ${run.error.toFixed(2)} %, ` +
      `${run.seconds.toFixed(0)} s; ${clock((seconds / (i + 1)) * (left.length - i - 1))} left`,
  );
  if (seconds > stopAfter && i + 1 < left.length) {
    console.log('stopped; the same command goes on');
    process.exit(0);
  }
}
const text = report(runs, setting);
writeFileSync(join(values.out, 'report.md'), text);
writeFileSync(join(values.out, 'chart.svg'), await chart(runs));
console.log(`\n${text}`);
