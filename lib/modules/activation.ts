import type { NonlinearityName } from '../activation.js';
import { check, show } from '../errors.js';
import { Module } from '../module.js';
import { hardsigmoid, hardswish, relu, relu6, sigmoid, silu } from '../ops/activation.js';
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

/** 1 / (1 + exp(-x)), as torch.nn.Sigmoid. */
export class Sigmoid extends Module {
  override forward<S extends Shape>(x: Tensor<S>): Tensor<S> {
    return sigmoid(x);
  }
}

/** x sigmoid(x), as torch.nn.SiLU. */
export class SiLU extends Module {
  override forward<S extends Shape>(x: Tensor<S>): Tensor<S> {
    return silu(x);
  }
}

/** min(max(x + 3, 0), 6) / 6, as torch.nn.Hardsigmoid. */
export class Hardsigmoid extends Module {
  override forward<S extends Shape>(x: Tensor<S>): Tensor<S> {
    return hardsigmoid(x);
  }
}

/** x hardsigmoid(x), as torch.nn.Hardswish. */
export class Hardswish extends Module {
  override forward<S extends Shape>(x: Tensor<S>): Tensor<S> {
    return hardswish(x);
  }
}

/** The modules by the names that options give them. */
const modules = {
  relu: ReLU,
  relu6: ReLU6,
  sigmoid: Sigmoid,
  silu: SiLU,
  hardsigmoid: Hardsigmoid,
  hardswish: Hardswish,
} as const satisfies Record<NonlinearityName, new () => Module>;
const names = Object.keys(modules)
  .map((name) => `'${name}'`)
  .join(', ');

/** The class that an option names. @internal @throws INVALID_ARGUMENT */
export function activationNamed(owner: string, option: string, name: NonlinearityName): new () => Module {
  check(
    typeof name === 'string' && Object.hasOwn(modules, name),
    'INVALID_ARGUMENT',
    () => `${owner}: ${option} is one of ${names}, found ${show(name)}`,
  );
  return modules[name];
}
