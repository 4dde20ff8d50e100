/** Grouped and depthwise layers on a GPU: each of the library's solvers, cuDNN among them, and PyTorch. */

import { deviceIndex } from '../../lib/device.js';
import type { Device, DType } from '../../lib/index.js';
import { randn, scope, setAllowTF32, type Tensor, type Tensor4D } from '../../lib/index.js';
import { type Conv2dGeometry, type Handle, native } from '../../lib/native.js';
import { type Layer, multiplyAdds, outputExtents } from '../shapes.js';
import type { KernelRow, Pass, Precision } from './rows.js';
import { type Effort, timeReplayed } from './timing.js';

export interface KernelCase {
  layer: Layer;
  batch: number;
  precision: Precision;
  pass: Pass;
}
/** Grouped layers have room for a kernel of their own; 1x1 and dense ones are cuDNN's. */
export const isGrouped = ({ groups }: Layer): boolean => groups > 1;

export const dtypeOf = (precision: Precision): Extract<DType, 'float32' | 'bfloat16' | 'float16'> =>
  precision === 'tf32' ? 'float32' : precision;
const bytesOf = (precision: Precision) => (dtypeOf(precision) === 'float32' ? 4 : 2);

/** x and y once; the weight, or its gradient, as float32. */
export function leastBytes({ layer, batch, precision }: Omit<KernelCase, 'pass'>): number {
  const [p, q] = outputExtents(layer);
  const activations = batch * (layer.c * layer.h * layer.w + layer.k * p * q);
  return bytesOf(precision) * activations + 4 * layer.k * (layer.c / layer.groups) * layer.r * layer.s;
}

export const workOf = (work: KernelCase): Pick<KernelRow, 'bytes' | 'flops'> => ({
  bytes: leastBytes(work),
  flops: 2 * multiplyAdds(work.layer, work.batch),
});

/** So many sets of activations that they don't fit a cache together. */
export function setsOf(work: Omit<KernelCase, 'pass'>): number {
  const cacheBytes = 128 * 2 ** 20;
  return Math.min(8, Math.max(1, Math.ceil(cacheBytes / leastBytes(work))));
}

/** The device's solvers in the order in which the library prefers them; the last one, the reference, is none to time. */
export function solversOf(device: Device): string[] {
  return [...new Set(native.solvers('conv2d', deviceIndex(device)))].slice(0, -1);
}

interface Operands {
  x: Tensor4D;
  dy: Tensor4D;
  dx: Tensor4D;
}

function operandsOf({ layer, batch, precision, pass }: KernelCase, sets: number, device: Device): Operands[] {
  const [p, q] = outputExtents(layer);
  const dtype = dtypeOf(precision);
  const activation = (...shape: [number, number, number, number]) =>
    scope(() => randn(shape, { device }).to(dtype)) as Tensor4D;
  const input = () => activation(batch, layer.c, layer.h, layer.w);
  const output = () => activation(batch, layer.k, p, q);
  // What a pass doesn't use shares one tensor's memory.
  const [x, dy] = [input(), output()];
  return Array.from({ length: sets }, (_, set) => ({
    x: set && pass !== 'gradInput' ? input() : x,
    dy: set && pass !== 'forward' ? output() : dy,
    dx: pass === 'gradInput' ? input() : x,
  }));
}

/** One run of the pass on each set; results of forward take turns, too, so that no cache holds them either. */
function roundOf({ layer, pass }: KernelCase, sets: readonly Operands[], weight: Tensor, dweight: Tensor) {
  const { stride, dilation, padding, groups } = layer;
  const pads = [padding, padding, padding, padding] as const;
  const geometry: Conv2dGeometry = [stride, stride, dilation, dilation, ...pads, groups];
  return () => {
    const results: Handle[] = [];
    for (const { x, dy, dx } of sets) {
      if (pass === 'forward') results.push(native.conv2d(x.handle, weight.handle, null, ...geometry));
      else if (pass === 'gradInput')
        native.conv2dGradInput(dy.handle, weight.handle, dx.handle, false, ...geometry);
      else native.conv2dGradWeight(x.handle, dy.handle, dweight.handle, false, ...geometry);
    }
    for (const result of results) native.release(result);
  };
}

/** cuDNN's engines that autotuning has measured since this was last asked, the fastest first. */
function newlyMeasured(): Pick<KernelRow, 'engine' | 'engines'> {
  const engines = native.measuredEngines().sort(([, a], [, b]) => a - b);
  if (engines.length === 0) return {};
  return { engine: engines[0]?.[0], engines: engines.map(([name, seconds]) => ({ name, seconds })) };
}

/**
 * Times one solver on a case; null where it doesn't take that. With autotuning on, `cudnn` is the fastest of the engines
 * that cuDNN offers, and tells all of them. @throws what running it throws
 */
export async function measureSolver(
  work: KernelCase,
  solver: string,
  device: Device,
  effort: Effort,
): Promise<Pick<KernelRow, 'seconds' | 'engine' | 'engines'> | null> {
  const { layer, precision } = work;
  const tensors: Tensor[] = [];
  setAllowTF32(precision === 'tf32');
  native.forceSolver('conv2d', solver);
  try {
    const sets = scope(() => operandsOf(work, setsOf(work), device)); // none of them, where there is no memory for all
    tensors.push(...new Set(sets.flatMap(({ x, dy, dx }) => [x, dy, dx])));
    const weight = randn([layer.k, layer.c / layer.groups, layer.r, layer.s], { device });
    tensors.push(weight);
    const dweight = weight.clone();
    tensors.push(dweight);
    newlyMeasured(); // by whatever was before
    const { median } = await timeReplayed(device, roundOf(work, sets, weight, dweight), sets.length, effort);
    return { seconds: median, ...newlyMeasured() };
  } catch (error) {
    if ((error as { code?: string }).code === 'UNSUPPORTED') return null;
    throw error;
  } finally {
    native.forceSolver('conv2d', '');
    setAllowTF32(false);
    for (const tensor of tensors) tensor.dispose();
  }
}

/** What PyTorch is asked for the same case; untuned, it takes its cuDNN's first choice. */
export function torchRequest(work: KernelCase, effort: Effort, untuned: boolean): object {
  const { name: _, dilation: __, ...size } = work.layer;
  const { batch, precision, pass } = work;
  const convolution = { n: batch, ...size };
  return {
    ...{ convolution, pass, precision, sets: setsOf(work), seconds: effort.seconds },
    benchmark: !untuned,
  };
}
