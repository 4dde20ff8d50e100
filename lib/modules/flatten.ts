import { Module } from '../module.js';
import { flatten } from '../ops/reshape.js';
import type { Tensor, Tensor2D } from '../tensor.js';

/** [N, …] to [N, the product of the rest], as torch.nn.Flatten. */
export class Flatten extends Module {
  override forward(x: Tensor): Tensor2D {
    return flatten(x);
  }
}
