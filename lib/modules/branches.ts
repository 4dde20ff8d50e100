import { Module } from '../module.js';
import { add } from '../ops/add.js';
import { concat } from '../ops/concat.js';
import { scope } from '../scope.js';
import type { Tensor4D } from '../tensor.js';
import { imagewiseForward } from './depthFirst.js';

/** Several modules on the same input, their outputs joined; children are named 0, 1, …. @internal */
export class Branches extends Module {
  readonly [index: number]: Module;

  constructor(
    readonly join: 'sum' | 'concat',
    branches: readonly Module[],
  ) {
    super();
    Object.assign(this, { ...branches });
  }

  /** The sum of the branches' outputs, or their channels one after the other. */
  override forward(x: Tensor4D): Tensor4D {
    return scope(() => {
      const run = (branch: Module) => branch.forward(x) as Tensor4D;
      const [first, ...others] = this.children() as [Module, ...Module[]];
      if (this.join === 'concat') return concat([first, ...others].map(run), 1);
      let sum = run(first);
      for (const branch of others) {
        const summands = [sum, run(branch)] as const;
        sum = add(...summands);
        for (const summand of summands) if (summand !== x) summand.dispose();
      }
      return sum;
    });
  }
}

imagewiseForward(Branches);
