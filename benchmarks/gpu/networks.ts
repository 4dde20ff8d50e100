/** Whole networks on a GPU: inference and training steps, beside PyTorch eager and compiled. */
import {
  capture,
  crossEntropy,
  type Device,
  type Module,
  memory,
  noGrad,
  optim,
  randn,
  type Tensor,
  type Tensor4D,
  tensor,
} from '../../lib/index.js';
import { buildNetwork, type Network } from '../networks.js';
import type { FloatType } from './kernels.js';
import type { TorchPeer } from './peer.js';
import { type Effort, timeOnDevice } from './timing.js';

export interface NetworkCase {
  network: Network;
  work: 'inference' | 'training';
  n: number;
  dtype: FloatType;
  /** Recorded once and replayed. */
  captured: boolean;
}
export interface NetworkRow {
  network: string;
  work: NetworkCase['work'];
  n: number;
  dtype: FloatType;
  by: string;
  imagesPerSecond: number;
  milliseconds: number;
  peakMegabytes?: number;
  failure?: string;
}

function worker(model: Module, { work, n, dtype, captured }: NetworkCase, device: Device, size: number) {
  if (dtype !== 'float32') model.computeDtype = dtype;
  const x = randn([n, 3, size, size] as const, { device }) as Tensor4D;
  if (work === 'inference') {
    model.eval();
    const forward = () => noGrad(() => model.forward(x) as Tensor);
    if (!captured) return forward;
    const replay = noGrad(() => capture(forward));
    return () => void replay();
  }
  model.train();
  const classes = Int32Array.from({ length: n }, (_, i) => (i * 7919) % 1000);
  const labels = tensor(classes, [n] as const, { dtype: 'int32', device });
  const optimizer = new optim.SGD(model.parameters(), { lr: 0.001, momentum: 0.9 });
  const step = () => {
    optimizer.zeroGrad();
    const loss = crossEntropy(model.forward(x) as Tensor<readonly [number, number]>, labels);
    loss.backward();
    optimizer.step();
    return loss;
  };
  if (!captured) return step;
  const replay = capture(step);
  return () => void replay();
}

/** groupconv, then PyTorch eager and compiled where it is there. @param size of the images, in pixels */
export async function measureNetwork(
  work: NetworkCase,
  device: Device,
  torch: TorchPeer | null,
  effort: Effort,
  size = 224,
): Promise<NetworkRow[]> {
  const { network, n, dtype, captured } = work;
  const rows: NetworkRow[] = [];
  const add = (by: string, seconds: number, more: Partial<NetworkRow> = {}) =>
    rows.push({
      network: network.name,
      work: work.work,
      n,
      dtype,
      by,
      imagesPerSecond: n / seconds,
      milliseconds: seconds * 1000,
      ...more,
    });
  await scopeAsync(async () => {
    const by = captured ? 'groupconv, captured' : 'groupconv';
    const model = buildNetwork(network).to(device);
    try {
      memory({ device, resetPeak: true });
      const { median } = await timeOnDevice(device, worker(model, work, device, size), effort);
      add(by, median, { peakMegabytes: memory({ device }).peakBytes / 1e6 });
    } catch (error) {
      add(by, Number.NaN, { failure: (error as Error).message });
    } finally {
      model.dispose();
    }
  });
  for (const compile of torch ? [false, true] : []) {
    const answer = await (torch as TorchPeer).measure({
      network: network.name,
      work: work.work,
      n,
      dtype,
      compile,
      seconds: effort.seconds,
    });
    const by = compile ? 'torch.compile' : 'PyTorch eager, channels_last';
    if ('seconds' in answer) add(by, answer.seconds);
    else add(by, Number.NaN, answer);
  }
  return rows;
}

/** What the case makes is freed by the collector at the latest before the next one. */
async function scopeAsync(run: () => Promise<void>): Promise<void> {
  await run();
  global.gc?.();
}
