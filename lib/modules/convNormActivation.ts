import type { NonlinearityName } from '../activation.js';
import type { Module } from '../module.js';
import type { Tensor4D } from '../tensor.js';
import { activationNamed } from './activation.js';
import { BatchNorm2d, type BatchNorm2dOptions } from './batchNorm2d.js';
import { Conv2d } from './conv2d.js';
import { Sequential } from './sequential.js';

export type Layers = Sequential<Tensor4D, Tensor4D>;

/** @internal */
export interface ConvNormActivation {
  stride?: number;
  groups?: number;
  norm?: BatchNorm2dOptions;
  activation: NonlinearityName | null;
}

/**
 * Convolution without bias, BatchNorm2d, activation, as torchvision.ops.misc.Conv2dNormActivation. The padding keeps
 * the size at stride 1, for kernels of odd size.
 * @internal
 */
export function convNormActivation(
  inChannels: number,
  outChannels: number,
  kernelSize: number,
  { stride = 1, groups = 1, norm = {}, activation }: ConvNormActivation,
): Layers {
  const padding = (kernelSize - 1) / 2;
  const layers: Module[] = [
    new Conv2d(inChannels, outChannels, kernelSize, { stride, padding, groups, bias: false }),
    new BatchNorm2d(outChannels, norm),
  ];
  if (activation !== null) {
    const Activation = activationNamed('convNormActivation', 'activation', activation);
    layers.push(new Activation());
  }
  return new Sequential<Tensor4D, Tensor4D>(...layers);
}
