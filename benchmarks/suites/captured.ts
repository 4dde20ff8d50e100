/** Eager and captured calls of the same function in turns: what recording work once saves. */
import {
  capture,
  crossEntropy,
  manualSeed,
  mobilenet_v1,
  noGrad,
  optim,
  ResNeXt,
  randn,
  scope,
  synchronize,
  type Tensor1D,
  tensor,
} from '../../lib/index.js';

/** Something to call again and again. */
type Work = () => unknown;

const cases: Record<string, () => Work> = {
  'mobilenet_v1 forward, batch 1': () => {
    const model = mobilenet_v1().eval();
    const images = randn([1, 3, 224, 224]);
    return () => noGrad(() => model.forward(images));
  },
  'small ResNeXt forward, [1, 3, 8, 8]': () => {
    const model = small().eval();
    const images = randn([1, 3, 8, 8]);
    return () => noGrad(() => model.forward(images));
  },
  'small ResNeXt training step, [4, 3, 8, 8]': () => {
    const model = small();
    const optimizer = new optim.SGD(model.parameters(), { lr: 0.01, momentum: 0.9 });
    const images = randn([4, 3, 8, 8]);
    const labels = tensor(Int32Array.of(0, 1, 2, 3)) as Tensor1D<'int32'>;
    return () => {
      optimizer.zeroGrad();
      const loss = crossEntropy(model.forward(images), labels);
      loss.backward();
      optimizer.step();
      return loss;
    };
  },
};

function small(): ResNeXt {
  return new ResNeXt({
    blockRepeats: [
      [32, 1],
      [64, 1],
    ],
    cardinality: 8,
    numClasses: 10,
    stem: 'cifar',
    firstStride: 1,
  });
}

export interface CapturedTimes {
  what: string;
  /** Milliseconds of one call, until its result was there. */
  samples: number[];
}

/** Each round calls every kind until 100 ms have passed. */
export async function measureCaptured(rounds: number): Promise<CapturedTimes[]> {
  const rows: CapturedTimes[] = [];
  for (const [name, make] of Object.entries(cases)) {
    manualSeed(1);
    const work = make();
    const captured = capture(work);
    const kinds = { eager: () => void scope(work), captured: () => void captured() };
    const samples: Record<keyof typeof kinds, number[]> = { eager: [], captured: [] };
    for (let round = -1; round < rounds; round++)
      for (const kind of ['eager', 'captured'] as const) {
        const end = performance.now() + 100;
        while (performance.now() < end) {
          const start = performance.now();
          kinds[kind]();
          await synchronize();
          if (round >= 0) samples[kind].push(performance.now() - start);
        }
      }
    captured.dispose();
    for (const kind of ['eager', 'captured'] as const)
      rows.push({ what: `${name}: ${kind}`, samples: samples[kind] });
  }
  return rows;
}
