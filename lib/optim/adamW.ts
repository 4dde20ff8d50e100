import { check, show } from '../errors.js';
import { feed } from '../feed.js';
import { native } from '../native.js';
import { checkOptions } from '../options.js';
import type { Tensor } from '../tensor.js';
import { type Group, gradients, handles, number, Optimizer, stateLike, type Trainable } from './optimizer.js';

export interface AdamWOptions {
  /** 0.001 by default. */
  lr?: number;
  /** How much of the first and second moment is kept; [0.9, 0.999] by default. */
  betas?: readonly [number, number];
  /** 1e-8 by default. */
  eps?: number;
  /** 0.01 by default. */
  weightDecay?: number;
}

interface Moments {
  first: Tensor;
  second: Tensor;
  step: number;
}

/**
 * Adam with decoupled weight decay (Loshchilov and Hutter 2019), as torch.optim.AdamW:
 * p *= 1 - lr weightDecay; m = b1 m + (1 - b1) g; v = b2 v + (1 - b2) g²;
 * p -= lr / (1 - b1^t) m / (sqrt(v / (1 - b2^t)) + eps).
 */
export class AdamW extends Optimizer {
  readonly betas: readonly [number, number];
  readonly eps: number;
  protected override readonly kinds = { exp_avg: 'like', exp_avg_sq: 'like', step: 'count' } as const;
  #moments = new Map<Tensor, Moments>();

  /** @throws INVALID_ARGUMENT (an option, a parameter given twice), UNSUPPORTED (dtype), DISPOSED */
  constructor(trainable: Trainable, options: AdamWOptions = {}) {
    checkOptions('AdamW', options, ['lr', 'betas', 'eps', 'weightDecay']);
    super('AdamW', trainable, options.lr ?? 1e-3, options.weightDecay ?? 1e-2);
    const betas = options.betas ?? [0.9, 0.999];
    check(
      Array.isArray(betas) && betas.length === 2,
      'INVALID_ARGUMENT',
      () => `AdamW: betas is a list of two numbers, found ${show(betas)}`,
    );
    this.betas = [number('AdamW', 'betas[0]', betas[0], 0, 1), number('AdamW', 'betas[1]', betas[1], 0, 1)];
    this.eps = number('AdamW', 'eps', options.eps ?? 1e-8);
  }

  protected override update(params: readonly Tensor[], group: Group): void {
    // Parameters differ in their step where some had no gradient before.
    const bySteps = new Map<number, Tensor[]>();
    for (const tensor of params) {
      if (!this.#moments.has(tensor))
        this.#moments.set(tensor, { first: stateLike(tensor), second: stateLike(tensor), step: 0 });
      const { step } = this.#moments.get(tensor) as Moments;
      bySteps.set(step, [...(bySteps.get(step) ?? []), tensor]);
    }
    for (const some of bySteps.values()) this.#run(some, group);
  }

  /** Of parameters that have made the same number of steps. */
  #run(params: readonly Tensor[], group: Group): void {
    const moments = params.map((tensor) => this.#moments.get(tensor) as Moments);
    const [beta1, beta2] = this.betas;
    using numbers = feed((params[0] as Tensor).deviceIndex, 'float32', () => {
      for (const each of moments) each.step++;
      const { step } = moments[0] as Moments;
      const lr = this.lr * group.lrFactor;
      return Float32Array.of(
        1 - lr * group.weightDecay,
        lr / (1 - beta1 ** step),
        Math.sqrt(1 - beta2 ** step),
      );
    });
    native.adamwStep(
      handles(params),
      gradients(params),
      handles(moments.map(({ first }) => first)),
      handles(moments.map(({ second }) => second)),
      numbers.handle,
      beta1,
      beta2,
      this.eps,
    );
  }

  protected override stateOf(tensor: Tensor): Record<string, Tensor | number> | undefined {
    const moments = this.#moments.get(tensor);
    return moments && { exp_avg: moments.first, exp_avg_sq: moments.second, step: moments.step };
  }
  protected override setState(tensor: Tensor, state: Record<string, Tensor | number> | undefined): void {
    if (!state) this.#moments.delete(tensor);
    else
      this.#moments.set(tensor, {
        first: state.exp_avg as Tensor,
        second: state.exp_avg_sq as Tensor,
        step: state.step as number,
      });
  }
}
