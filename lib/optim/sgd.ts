import { check } from '../errors.js';
import { feed } from '../feed.js';
import { native } from '../native.js';
import { checkOptions } from '../options.js';
import type { Tensor } from '../tensor.js';
import { type Group, gradients, handles, number, Optimizer, stateLike, type Trainable } from './optimizer.js';

export interface SGDOptions {
  lr: number;
  /** 0 by default. */
  momentum?: number;
  /** Of the gradient as it enters the momentum; 0 by default. */
  dampening?: number;
  /** Added to the gradient, times the parameter; 0 by default. */
  weightDecay?: number;
  nesterov?: boolean;
}

/**
 * Stochastic gradient descent with momentum, as torch.optim.SGD:
 * g += weightDecay p; m = momentum m + (1 - dampening) g (m = g the first time); p -= lr (nesterov ? g + momentum m : m).
 */
export class SGD extends Optimizer {
  readonly momentum: number;
  readonly dampening: number;
  readonly nesterov: boolean;
  protected override readonly kinds = { momentum_buffer: 'like' } as const;
  #momenta = new Map<Tensor, Tensor>();

  /** @throws INVALID_ARGUMENT (an option, a parameter given twice), UNSUPPORTED (dtype), DISPOSED */
  constructor(trainable: Trainable, options: SGDOptions) {
    checkOptions('SGD', options, ['lr', 'momentum', 'dampening', 'weightDecay', 'nesterov']);
    super('SGD', trainable, options.lr, options.weightDecay ?? 0);
    this.momentum = number('SGD', 'momentum', options.momentum ?? 0);
    this.dampening = number('SGD', 'dampening', options.dampening ?? 0, -Infinity);
    this.nesterov = options.nesterov ?? false;
    check(
      !this.nesterov || (this.momentum > 0 && this.dampening === 0),
      'INVALID_ARGUMENT',
      'SGD: nesterov needs a momentum and no dampening',
    );
  }

  protected override update(params: readonly Tensor[], group: Group): void {
    if (this.momentum === 0) {
      this.#run(params, group, false);
      return;
    }
    const known = params.filter((tensor) => this.#momenta.has(tensor));
    const fresh = params.filter((tensor) => !this.#momenta.has(tensor));
    for (const tensor of fresh) this.#momenta.set(tensor, stateLike(tensor));
    if (known.length > 0) this.#run(known, group, false);
    if (fresh.length > 0) this.#run(fresh, group, true);
  }

  /** `first`: the momenta are still zero. */
  #run(params: readonly Tensor[], group: Group, first: boolean): void {
    let isFirst = first;
    using numbers = feed((params[0] as Tensor).deviceIndex, 'float32', () => {
      const [keep, factor] = isFirst ? [0, 1] : [this.momentum, 1 - this.dampening];
      isFirst = false;
      return Float32Array.of(this.lr * group.lrFactor, keep, factor);
    });
    native.sgdStep(
      handles(params),
      gradients(params),
      this.momentum === 0 ? [] : handles(params.map((tensor) => this.#momenta.get(tensor) as Tensor)),
      numbers.handle,
      this.momentum,
      group.weightDecay,
      this.nesterov,
    );
  }

  protected override stateOf(tensor: Tensor): Record<string, Tensor> | undefined {
    const momentum = this.#momenta.get(tensor);
    return momentum && { momentum_buffer: momentum };
  }
  protected override setState(tensor: Tensor, state: Record<string, Tensor | number> | undefined): void {
    if (state) this.#momenta.set(tensor, state.momentum_buffer as Tensor);
    else this.#momenta.delete(tensor);
  }
}
