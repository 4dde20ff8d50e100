/** Runs in a worker thread: the last loss of a training, eager and captured. */
import { parentPort, workerData } from 'node:worker_threads';
import {
  capture,
  crossEntropy,
  manualSeed,
  optim,
  ResNeXt,
  randn,
  scope,
  type Tensor1D,
  tensor,
} from '../../lib/index.js';

function train(captured: boolean): number {
  manualSeed(1);
  const model = new ResNeXt({
    blockRepeats: [[16, 1]],
    cardinality: 4,
    numClasses: 4,
    stem: 'cifar',
    firstStride: 1,
  });
  const optimizer = new optim.SGD(model.parameters(), { lr: 0.05, momentum: 0.9 });
  const x = randn([4, 3, 8, 8]);
  const labels = tensor(Int32Array.of(0, 1, 2, 3)) as Tensor1D<'int32'>;
  const run = () => {
    const loss = crossEntropy(model.forward(x), labels);
    optimizer.zeroGrad();
    loss.backward();
    optimizer.step();
    return loss;
  };
  const step = captured ? capture(run) : null;
  let last = step ? step.result.item() : Number.NaN;
  for (let i = step ? 1 : 0; i < workerData.steps; i++)
    last = step ? step().item() : scope(() => run().item());
  return last;
}

// The captured one first: a worker that is terminated early is terminated in it.
const captured = train(true);
parentPort?.postMessage([train(false), captured]);
