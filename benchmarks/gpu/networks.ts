/** Whole networks on a GPU: inference and training steps, beside PyTorch eager, captured and compiled. */
import {
  type Captured,
  capture,
  crossEntropy,
  type Device,
  type Module,
  memory,
  noGrad,
  optim,
  randn,
  scope,
  type Tensor,
  type Tensor4D,
  tensor,
} from '../../lib/index.js';
import { buildNetwork, type Network } from '../networks.js';
import { dtypeOf } from './kernels.js';
import type { NetworkRow, Precision, TorchMode } from './rows.js';
import { type Effort, timeOnDevice } from './timing.js';
import { tune } from './tuning.js';

export interface NetworkCase {
  network: Network;
  work: 'inference' | 'training';
  n: number;
  precision: Precision;
  /** Recorded once and replayed. */
  captured: boolean;
}

/** One run of a network, and what gives back that which it holds. */
function worker(model: Module, { work, n, precision }: NetworkCase, device: Device, size: number) {
  if (dtypeOf(precision) !== 'float32') model.computeDtype = dtypeOf(precision);
  const x = randn([n, 3, size, size] as const, { device }) as Tensor4D;
  if (work === 'inference') {
    model.eval();
    return { run: () => noGrad(() => model.forward(x) as Tensor), dispose: () => x.dispose() };
  }
  model.train();
  const classes = Int32Array.from({ length: n }, (_, i) => (i * 7919) % 1000);
  const labels = tensor(classes, [n] as const, { dtype: 'int32', device });
  const optimizer = new optim.SGD(model.parameters(), { lr: 0.001, momentum: 0.9 });
  const run = () => {
    optimizer.zeroGrad();
    const loss = crossEntropy(model.forward(x) as Tensor<readonly [number, number]>, labels);
    loss.backward();
    optimizer.step();
    return loss;
  };
  const dispose = () => {
    optimizer.zeroGrad();
    optimizer.dispose();
    x.dispose();
    labels.dispose();
  };
  return { run, dispose };
}

type Measured = Pick<NetworkRow, 'seconds' | 'peakMegabytes' | 'note'>;

/**
 * @param tuning seconds for autotuning before; 0 for none
 * @param size of the images, in pixels
 * @throws what running it throws
 */
export async function measureNetwork(
  work: NetworkCase,
  device: Device,
  effort: Effort,
  tuning = 0,
  size = 224,
): Promise<Measured> {
  const model = buildNetwork(work.network).to(device);
  try {
    const { run, dispose } = worker(model, work, device, size);
    let graph: Captured<unknown> | null = null;
    try {
      const tuned = tuning > 0 ? await tune(() => scope(() => void run()), device, tuning) : true;
      memory({ device, resetPeak: true });
      if (work.captured) graph = capture(run);
      const { median } = await timeOnDevice(device, graph ?? run, effort);
      return {
        seconds: median,
        peakMegabytes: memory({ device }).peakBytes / 1e6,
        ...(tuned ? {} : { note: 'tuned in part: its time was up' }),
      };
    } finally {
      graph?.dispose();
      dispose();
    }
  } finally {
    model.dispose();
    global.gc?.(); // optimisers and gradients
  }
}

export function torchRequest({ network, work, n, precision }: NetworkCase, mode: TorchMode, effort: Effort) {
  return { network: network.name, work, n, precision, mode, seconds: effort.seconds };
}
