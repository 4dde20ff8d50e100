import { Module } from '../module.js';
import { relu, relu6 } from '../ops/relu.js';
import type { Shape, Tensor } from '../tensor.js';

/** max(x, 0), as torch.nn.ReLU. */
export class ReLU extends Module {
  override forward<S extends Shape>(x: Tensor<S>): Tensor<S> {
    return relu(x);
  }
}

/** min(max(x, 0), 6), as torch.nn.ReLU6. */
export class ReLU6 extends Module {
  override forward<S extends Shape>(x: Tensor<S>): Tensor<S> {
    return relu6(x);
  }
}
