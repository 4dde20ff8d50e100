/** What the device can do at most, measured beside everything: bytes and products a second. */
import { type Device, randn, scope, setAllowTF32, type Tensor } from '../../lib/index.js';
import { native } from '../../lib/native.js';
import { dtypeOf } from './kernels.js';
import type { TorchPeer } from './peer.js';
import type { MatrixRate, Precision } from './rows.js';
import { type Effort, timeOnDevice } from './timing.js';

export const matrixPrecisions = ['bfloat16', 'tf32', 'float32'] as const satisfies readonly Precision[];

/** Bytes read plus written a second, of a copy that no cache holds. */
export async function measureCopy(elements: number, device: Device, effort: Effort): Promise<number> {
  const source = randn([elements], { device });
  try {
    const { min } = await timeOnDevice(device, () => source.clone(), effort);
    return (8 * elements) / min;
  } finally {
    source.dispose();
  }
}

/** A square product as cuDNN's 1x1 convolution, whose filter is prepared beforehand; null where it can't. */
async function cudnnRate(
  extent: number,
  precision: Precision,
  device: Device,
  effort: Effort,
): Promise<MatrixRate | null> {
  const tensors: Tensor[] = [];
  setAllowTF32(precision === 'tf32');
  native.forceSolver('conv2d', 'cudnn');
  try {
    const x = scope(() => randn([1, extent, extent / 8, 8], { device }).to(dtypeOf(precision)));
    tensors.push(x as Tensor);
    const weight = randn([extent, extent, 1, 1], { device });
    tensors.push(weight as unknown as Tensor);
    const product = () =>
      native.release(native.conv2d(x.handle, weight.handle, null, 1, 1, 1, 1, 0, 0, 0, 0, 1));
    const { min } = await timeOnDevice(device, product, effort);
    return { precision, by: 'cuDNN, 1x1 convolution', teraflops: (2 * extent ** 3) / min / 1e12 };
  } catch (error) {
    const { code, message } = error as Error & { code?: string };
    if (code === 'DEVICE_FAILURE') throw error;
    console.log(`matrix rate, ${precision}: ${message}`);
    return null;
  } finally {
    native.forceSolver('conv2d', '');
    setAllowTF32(false);
    for (const tensor of tensors) tensor.dispose();
  }
}

/** By everybody who can. @param limit seconds that PyTorch may take for an answer */
export async function measureMatrixRates(
  extent: number,
  device: Device,
  torch: TorchPeer,
  effort: Effort,
  limit: number,
): Promise<MatrixRate[]> {
  const rates: MatrixRate[] = [];
  for (const precision of matrixPrecisions) {
    console.log(`matrix rate, ${precision}`);
    const ours = await cudnnRate(extent, precision, device, effort);
    if (ours) rates.push(ours);
    const answer = await torch.measure({ matmul: extent, precision, seconds: effort.seconds }, limit);
    if ('seconds' in answer)
      rates.push({ precision, by: 'PyTorch, matmul', teraflops: (2 * extent ** 3) / answer.seconds / 1e12 });
  }
  return rates;
}
