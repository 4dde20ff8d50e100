import { isRecording } from '../autograd.js';
import { numThreads } from '../device.js';
import { type Module, modulesIn } from '../module.js';
import { concat, slice } from '../ops/concat.js';
import { Tensor } from '../tensor.js';
import { Hardsigmoid, Hardswish, ReLU, ReLU6, Sigmoid, SiLU } from './activation.js';
import { BatchNorm2d } from './batchNorm2d.js';
import { Conv2d } from './conv2d.js';
import { Identity } from './identity.js';
import { AdaptiveAvgPool2d, AvgPool2d, MaxPool2d } from './pool.js';

/**
 * Batches in inference on the CPU, depth-first: a few images go through a chain's modules before the next few do. What
 * lies between the modules stays in cache, and a batch takes the memory of a few images.
 */

/** What goes through at once: with two threads an image of 224 x 224 or 85 of 32 x 32. */
const PIECE_BYTES_PER_THREAD = 2 ** 19;

/** Forwards that treat every image of a batch by itself, where those of the children do. */
const imagewise = new Set<Module['forward']>();

/** Says that a class's forward is one of those. @internal */
export function imagewiseForward(type: abstract new (...args: never[]) => Module): void {
  imagewise.add((type.prototype as Module).forward);
}
for (const type of [Conv2d, MaxPool2d, AvgPool2d, AdaptiveAvgPool2d, Identity]) imagewiseForward(type);
for (const type of [ReLU, ReLU6, Sigmoid, SiLU, Hardsigmoid, Hardswish]) imagewiseForward(type);

function isImagewise(module: Module): boolean {
  if (module.forward === BatchNorm2d.prototype.forward) return (module as BatchNorm2d).usesRunningStatistics;
  return imagewise.has(module.forward) && modulesIn(module).every(isImagewise);
}

function imagesAtOnce({ shape: [images = 0], size }: Tensor): number {
  const bytesPerImage = (size / images) * Float32Array.BYTES_PER_ELEMENT;
  return Math.max(1, Math.floor((PIECE_BYTES_PER_THREAD * numThreads()) / bytesPerImage));
}

/** @internal */
export interface DepthFirst {
  /** Of the whole batch. */
  y: Tensor;
  /** Index of the next module to run. */
  next: number;
}

/** Runs as many modules as treat images alone, or returns null where that is no use. @internal */
export function depthFirst(
  chain: readonly Module[],
  x: Tensor,
  run: (chain: readonly Module[], x: Tensor) => Tensor,
): DepthFirst | null {
  if (isRecording() || !(x instanceof Tensor) || x.disposed) return null; // the first module says what is wrong
  if (x.device !== 'cpu' || x.rank !== 4) return null;
  const [images = 0] = x.shape;
  const size = imagesAtOnce(x);
  if (images <= size) return null;
  const end = chain.findIndex((module) => !isImagewise(module));
  const next = end < 0 ? chain.length : end;
  if (next < 2) return null;
  const modules = chain.slice(0, next);
  const parts: Tensor[] = [];
  for (let begin = 0; begin < images; begin += size) {
    try {
      using part = slice(x, 0, begin, Math.min(size, images - begin));
      const y = run(modules, part);
      if (y === part) return null; // the modules do nothing, and the batch is to come back as it is
      parts.push(y);
    } catch (error) {
      if (begin > 0) throw error;
      return null; // what is wrong is told of the whole batch
    }
  }
  const y = concat(parts, 0);
  for (const part of parts) part.dispose();
  return { y, next };
}
