import { Module, parameter } from '../module.js';
import { linear } from '../ops/linear.js';
import { checkOptions, count, flag } from '../options.js';
import type { Tensor, Tensor1D, Tensor2D } from '../tensor.js';
import { fanIn, uniform } from './init.js';

/**
 * x weightᵀ + bias with weight [outFeatures, inFeatures], as torch.nn.Linear. Both start uniform within
 * ±1 / sqrt(inFeatures), as PyTorch's.
 */
export class Linear extends Module {
  readonly weight: Tensor2D;
  readonly bias: Tensor1D | null;

  /** @throws INVALID_ARGUMENT */
  constructor(
    readonly inFeatures: number,
    readonly outFeatures: number,
    options: { bias?: boolean } = {},
  ) {
    super();
    checkOptions('Linear', options, ['bias']);
    count('Linear', 'inFeatures', inFeatures);
    count('Linear', 'outFeatures', outFeatures);
    const shape = [outFeatures, inFeatures] as const;
    const bound = 1 / Math.sqrt(fanIn(shape));
    this.weight = parameter(uniform(shape, bound));
    this.bias = flag('Linear', 'bias', options.bias ?? true)
      ? parameter(uniform([outFeatures], bound))
      : null;
  }

  /** [N, inFeatures] to [N, outFeatures]. @throws INVALID_SHAPE, DISPOSED, UNSUPPORTED */
  override forward(x: Tensor): Tensor2D {
    return linear(x as Tensor2D, this.weight, this.bias);
  }
}
