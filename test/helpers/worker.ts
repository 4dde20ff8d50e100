/** Runs in a worker thread: trains a small net for `steps` steps, reports its last loss. */
import { parentPort, workerData } from 'node:worker_threads';
import { crossEntropy, manualSeed, optim, ResNeXt, randn, scope, tensor } from '../../lib/index.js';

manualSeed(workerData.seed);
const model = new ResNeXt({
  blockRepeats: [[16, 1]],
  cardinality: 4,
  numClasses: 4,
  stem: 'cifar',
  firstStride: 1,
});
const optimizer = new optim.SGD(model.parameters(), { lr: 0.05 });
const x = randn([4, 3, 8, 8]);
const labels = tensor(Int32Array.of(0, 1, 2, 3));
let loss = NaN;
parentPort?.postMessage('started');
for (let i = 0; i < workerData.steps; i++)
  loss = scope(() => {
    const value = crossEntropy(model.forward(x), labels);
    optimizer.zeroGrad();
    value.backward();
    optimizer.step();
    return value.item();
  });
parentPort?.postMessage(loss);
