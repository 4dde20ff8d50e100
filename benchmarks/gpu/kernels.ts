/** Every grouped and depthwise layer on a GPU: own solvers, cuDNN's and PyTorch, beside the floor of memory traffic. */

import { deviceIndex } from '../../lib/device.js';
import type { Device, DType } from '../../lib/index.js';
import { randn, scope } from '../../lib/index.js';
import { type Conv2dGeometry, native } from '../../lib/native.js';
import { type Layer, multiplyAdds, outputExtents } from '../shapes.js';
import type { TorchPeer } from './peer.js';
import { type Effort, timeOnDevice, usualEffort } from './timing.js';

export const passes = ['forward', 'gradInput', 'gradWeight'] as const;
export type Pass = (typeof passes)[number];
export type FloatType = Extract<DType, 'float32' | 'bfloat16' | 'float16'>;

export interface KernelCase {
  layer: Layer;
  batch: number;
  dtype: FloatType;
  pass: Pass;
}
export interface KernelRow extends Omit<KernelCase, 'layer'> {
  layer: string;
  /** A solver's name, or PyTorch. */
  by: string;
  /** What the library takes by itself. */
  chosen: boolean;
  seconds: number;
  /** Bytes that the pass has to move at least, over the time and the measured bandwidth. */
  ofBandwidth: number;
  teraflops: number;
  failure?: string;
}

/** Grouped layers have room for a kernel of their own; 1x1 and dense ones are cuDNN's. */
export const isGrouped = ({ groups }: Layer): boolean => groups > 1;

const bytesOf = (dtype: FloatType) => (dtype === 'float32' ? 4 : 2);

/** x and y once; the weight, or its gradient, as float32. */
export function leastBytes({ layer, batch, dtype }: KernelCase): number {
  const [p, q] = outputExtents(layer);
  const activations = batch * (layer.c * layer.h * layer.w + layer.k * p * q);
  return bytesOf(dtype) * activations + 4 * layer.k * (layer.c / layer.groups) * layer.r * layer.s;
}

function geometryOf({ stride, dilation, padding, groups }: Layer): Conv2dGeometry {
  return [stride, stride, dilation, dilation, padding, padding, padding, padding, groups];
}

/** So many sets of activations that they don't fit a cache together. */
function setsOf(work: KernelCase): number {
  const cacheBytes = 128 * 2 ** 20;
  return Math.min(8, Math.max(1, Math.ceil(cacheBytes / leastBytes(work))));
}

/** Measures a case with every solver of the device that takes it. */
async function measureSolvers(work: KernelCase, device: Device, effort: Effort) {
  const { layer, batch, dtype, pass } = work;
  const [p, q] = outputExtents(layer);
  const geometry = geometryOf(layer);
  const activation = (...shape: [number, number, number, number]) =>
    scope(() => randn(shape, { device }).to(dtype));
  const sets = Array.from({ length: setsOf(work) }, () => ({
    x: activation(batch, layer.c, layer.h, layer.w),
    dy: activation(batch, layer.k, p, q),
  }));
  const weight = randn([layer.k, layer.c / layer.groups, layer.r, layer.s], { device });
  const target = pass === 'gradWeight' ? weight.clone() : (sets[0] as (typeof sets)[0]).x.clone();
  const run = (call: number) => {
    const { x, dy } = sets[call % sets.length] as (typeof sets)[0];
    if (pass === 'forward') native.release(native.conv2d(x.handle, weight.handle, null, ...geometry));
    else if (pass === 'gradInput')
      native.conv2dGradInput(dy.handle, weight.handle, target.handle, false, ...geometry);
    else native.conv2dGradWeight(x.handle, dy.handle, target.handle, false, ...geometry);
  };
  const times: { by: string; chosen: boolean; seconds: number; failure?: string }[] = [];
  try {
    for (const by of ['', ...new Set(native.solvers('conv2d', deviceIndex(device)))]) {
      native.forceSolver('conv2d', by);
      try {
        const { median } = await timeOnDevice(device, run, effort);
        times.push({ by: by || 'chosen', chosen: by === '', seconds: median });
      } catch (error) {
        const { code, message } = error as Error & { code?: string };
        if (code !== 'UNSUPPORTED') times.push({ by, chosen: false, seconds: Number.NaN, failure: message });
      }
    }
  } finally {
    native.forceSolver('conv2d', '');
    for (const tensor of [weight, target, ...sets.flatMap(({ x, dy }) => [x, dy])]) tensor.dispose();
  }
  return times;
}

/** One case by everybody who can do it. @param bandwidth bytes read plus written a second, as measured */
export async function measureKernel(
  work: KernelCase,
  device: Device,
  bandwidth: number,
  torch: TorchPeer | null,
  effort: Effort = usualEffort,
): Promise<KernelRow[]> {
  const times = await measureSolvers(work, device, effort);
  if (torch) {
    const { name: _, dilation: __, ...size } = work.layer;
    const convolution = { n: work.batch, ...size };
    const answer = await torch.measure({ ...work, layer: undefined, convolution, seconds: effort.seconds });
    times.push({ by: 'PyTorch', chosen: false, seconds: Number.NaN, ...answer });
  }
  const bytes = leastBytes(work);
  const flops = 2 * multiplyAdds(work.layer, work.batch);
  return times.map((time) => ({
    ...work,
    layer: work.layer.name,
    ...time,
    ofBandwidth: bytes / time.seconds / bandwidth,
    teraflops: flops / time.seconds / 1e12,
  }));
}
