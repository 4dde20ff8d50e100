import {
  crossEntropy,
  manualSeed,
  memory,
  mobilenet_v1,
  noGrad,
  optim,
  randn,
  resnext50_32x4d,
  scope,
  summary,
  synchronize,
  tensor,
} from '../lib/index.js';
import { native } from '../lib/native.js';

export interface NetworkRow {
  network: string;
  work: 'inference' | 'training step';
  batch: number;
  minMs: number;
  medianMs: number;
  imagesPerSecond: number;
  /** Of the multiply-add peak measured beside it, in percent; a training step counts three forward passes. */
  percentOfPeak: number;
  /** The most bytes that tensors held, without parameters' packed forms. */
  peakBytes: number;
}

/** Without zeroed weights: no benchmark multiplies by zeros. */
const networks = {
  resnext50_32x4d: () => resnext50_32x4d({ zeroInitResidual: false }),
  mobilenet_v1: () => mobilenet_v1(),
};

/** The best of several looks: whatever else the machine does takes from a single one. */
const quietPeak = (threads: number) =>
  Math.max(...Array.from({ length: 5 }, () => native.measurePeak(threads)));

/** Minimum and median of `repeats` runs in ms, after two that warm up caches, packed weights and memory. */
async function time(work: () => void, repeats: number): Promise<[number, number]> {
  const samples: number[] = [];
  for (let run = -2; run < repeats; run++) {
    const start = performance.now();
    scope(work);
    await synchronize();
    if (run >= 0) samples.push(performance.now() - start);
  }
  samples.sort((a, b) => a - b);
  return [samples[0] ?? Number.NaN, samples[Math.floor(samples.length / 2)] ?? Number.NaN];
}

/** Whole networks from TypeScript: inference with folded batch norms, and forward, backward and a step of SGD. */
export async function measureNetworks(
  threads: number,
  batches: number[],
  repeats: number,
): Promise<NetworkRow[]> {
  const rows: NetworkRow[] = [];
  for (const [network, make] of Object.entries(networks))
    for (const batch of batches)
      for (const work of ['inference', 'training step'] as const) {
        manualSeed(1);
        const model = make();
        const { multAdds } = summary(model, [batch, 3, 224, 224]);
        const images = randn([batch, 3, 224, 224]);
        const labels = tensor(Int32Array.from({ length: batch }, (_, i) => i));
        const optimizer = new optim.SGD(model.parameters(), { lr: 0.01, momentum: 0.9 });
        model.train(work === 'training step');
        const run = () => {
          if (work === 'inference') return void noGrad(() => model.forward(images));
          optimizer.zeroGrad();
          crossEntropy(model.forward(images), labels).backward();
          optimizer.step();
        };
        const before = quietPeak(threads);
        memory({ resetPeak: true });
        const [minMs, medianMs] = await time(run, repeats);
        const peak = Math.max(before, quietPeak(threads));
        const flop = 2 * multAdds * (work === 'inference' ? 1 : 3);
        rows.push({
          network,
          work,
          batch,
          minMs,
          medianMs,
          imagesPerSecond: (1000 * batch) / minMs,
          percentOfPeak: (100 * flop * 1000) / minMs / peak,
          peakBytes: memory().peakBytes,
        });
        for (const item of [images, labels, optimizer, model]) item.dispose();
      }
  return rows;
}
