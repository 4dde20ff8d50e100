/** Runs in a worker thread: waits a second for work whose last part fails. */
import { parentPort } from 'node:worker_threads';
import { conv2d, crossEntropy, noGrad, randn, type Tensor1D, tensor } from '../../lib/index.js';

const weight = randn([256, 256, 3, 3]);
let x = randn([8, 256, 56, 56]);
noGrad(() => {
  for (let i = 0; i < 8; i++) x = conv2d(x, weight, { padding: 1 });
});
const loss = crossEntropy(randn([2, 10]), tensor(Int32Array.of(1, 12)) as Tensor1D<'int32'>);
parentPort?.postMessage('queued');
loss.item();
