import {
  ArrayDataset,
  compose,
  DataLoader,
  Dropout,
  EMA,
  Flatten,
  Generator,
  Linear,
  Module,
  manualSeed,
  normalize,
  optim,
  ResNeXt,
  randomCrop,
  randomHorizontalFlip,
  Sequential,
  type Tensor2D,
  type Tensor4D,
} from '../../lib/index.js';

/** Noise with a pattern, rows, columns, squares or none: a net tells them apart after a few epochs. */
export function toyDataset(length: number, seed: number): ArrayDataset {
  const random = new Generator(seed);
  const [height, width] = [8, 8];
  const images = new Uint8Array(length * height * width);
  const labels = Uint8Array.from({ length }, () => random.below(4));
  for (const [n, label] of labels.entries())
    for (let y = 0; y < height; y++)
      for (let x = 0; x < width; x++) {
        const bright = [y & 1, x & 1, (x + y) & 1, 0][label] as number;
        images[(n * height + y) * width + x] = random.below(176) + 80 * bright;
      }
  return new ArrayDataset(images, [length, 1, height, width], labels, ['rows', 'columns', 'squares', 'none']);
}

/** A ResNeXt and a dropout after it, so that training draws random numbers. */
class ToyNet extends Module<Tensor4D, Tensor2D> {
  readonly body = new ResNeXt({
    inChannels: 1,
    stem: 'cifar',
    stemChannels: 8,
    cardinality: 2,
    blockRepeats: [[8, 1]],
    numClasses: 16,
    firstStride: 2,
  });
  readonly head = new Sequential<Tensor2D, Tensor2D>(new Flatten(), new Dropout(0.2), new Linear(16, 4));

  override forward(x: Tensor4D): Tensor2D {
    using features = this.body.forward(x);
    return this.head.forward(features);
  }
}

/** Everything that a seeded training needs, with everything in it that has a state. */
export function toyTraining(seed = 1) {
  manualSeed(seed);
  const model = new ToyNet();
  const transform = compose(randomCrop(8, { padding: 1 }), randomHorizontalFlip(), normalize([0.4], [0.25]));
  const train = new DataLoader(toyDataset(96, 1), { batchSize: 16, shuffle: true, transform });
  const validation = new DataLoader(toyDataset(48, 2), {
    batchSize: 20,
    transform: normalize([0.4], [0.25]),
  });
  const optimizer = new optim.AdamW(optim.decayGroups(model), { lr: 0.01, weightDecay: 0.05 });
  const ema = new EMA(model, { decay: 0.9 });
  const schedule = optim.warmup({ steps: 4, after: optim.cosine({ total: 14 }) });
  return { model, options: { train, validation, optimizer, ema, schedule, clipGradNorm: 2, epochs: 3 } };
}
