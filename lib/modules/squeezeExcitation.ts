import type { NonlinearityName } from '../activation.js';
import { Module } from '../module.js';
import { mul } from '../ops/mul.js';
import { count, withDefaults } from '../options.js';
import { scope } from '../scope.js';
import type { Tensor4D } from '../tensor.js';
import { activationNamed } from './activation.js';
import { runChain } from './chain.js';
import { Conv2d } from './conv2d.js';
import { imagewiseForward } from './depthFirst.js';
import { AdaptiveAvgPool2d } from './pool.js';
import { stepsOf } from './sequential.js';

export interface SqueezeExcitationOptions {
  /** Between the two convolutions, by the name of its function; 'relu' by default. */
  activation?: NonlinearityName;
  /** Of the channels' factors; 'sigmoid' by default. */
  scaleActivation?: NonlinearityName;
}

const defaults: Required<SqueezeExcitationOptions> = { activation: 'relu', scaleActivation: 'sigmoid' };

/**
 * Squeeze-and-excitation (Hu et al. 2018): every channel of x times a factor that follows from the means of all,
 * x scaleActivation(fc2(activation(fc1(mean of x over H and W)))), where fc1 and fc2 are 1x1 convolutions. As
 * torchvision.ops.SqueezeExcitation.
 */
export class SqueezeExcitation extends Module<Tensor4D, Tensor4D> {
  readonly avgpool: AdaptiveAvgPool2d;
  readonly fc1: Conv2d;
  readonly fc2: Conv2d;
  readonly activation: Module;
  readonly scale_activation: Module;

  /**
   * @param channels of x
   * @param squeezeChannels between fc1 and fc2
   * @throws INVALID_ARGUMENT
   */
  constructor(channels: number, squeezeChannels: number, options: SqueezeExcitationOptions = {}) {
    super();
    const { activation, scaleActivation } = withDefaults('SqueezeExcitation', options, defaults);
    const Activation = activationNamed('SqueezeExcitation', 'activation', activation);
    const ScaleActivation = activationNamed('SqueezeExcitation', 'scaleActivation', scaleActivation);
    count('SqueezeExcitation', 'channels', channels);
    count('SqueezeExcitation', 'squeezeChannels', squeezeChannels);
    this.avgpool = new AdaptiveAvgPool2d(1);
    this.fc1 = new Conv2d(channels, squeezeChannels, 1);
    this.fc2 = new Conv2d(squeezeChannels, channels, 1);
    this.activation = new Activation();
    this.scale_activation = new ScaleActivation();
  }

  /** [N, channels, H, W], same shape out. @throws INVALID_SHAPE, DISPOSED, UNSUPPORTED */
  override forward(x: Tensor4D): Tensor4D {
    const { avgpool, fc1, activation, fc2, scale_activation } = this;
    const chain = stepsOf([avgpool, fc1, activation, fc2, scale_activation]);
    return scope(() => mul(x, runChain(chain, x) as Tensor4D));
  }
}

imagewiseForward(SqueezeExcitation);
