import { check } from '../errors.js';
import { Module, modulesIn } from '../module.js';
import type { Tensor } from '../tensor.js';
import { consuming, isStock, runChain } from './chain.js';
import { imagewiseForward } from './depthFirst.js';

/**
 * Modules one after the other, as torch.nn.Sequential: children are named 0, 1, … or, given a record, by its keys.
 * A convolution, the BatchNorm2d after it and the activation after that run as one where they can.
 *
 * ```ts
 * const stem = new Sequential<Tensor4D, Tensor4D>(new Conv2d(3, 64, 3), new BatchNorm2d(64), new ReLU());
 * ```
 */
export class Sequential<In extends Tensor = Tensor, Out extends Tensor = Tensor> extends Module<In, Out> {
  /** A module by its place; another one may take it. */
  [index: number]: Module;

  /** @throws INVALID_ARGUMENT for what is no module, or a name that is taken */
  constructor(...modules: readonly Module[] | [Readonly<Record<string, Module>>]) {
    super();
    const [first] = modules;
    const named = first && !(first instanceof Module) ? first : { ...(modules as readonly Module[]) };
    for (const [name, module] of Object.entries(named)) {
      check(module instanceof Module, 'INVALID_ARGUMENT', () => `Sequential: child ${name} is not a module`);
      check(
        !(name in this) && !name.includes('.'),
        'INVALID_ARGUMENT',
        () => `Sequential: ${name} can't be the name of a child`,
      );
      Object.assign(this, { [name]: module });
    }
  }

  /** The number of modules. */
  get length(): number {
    return modulesIn(this).length;
  }
  [Symbol.iterator](): Iterator<Module> {
    return modulesIn(this)[Symbol.iterator]();
  }

  override forward(x: In): Out {
    return runChain(stepsOf(modulesIn(this)), x) as Out;
  }
}

/** Modules in order (one may come twice), those of Sequentials in their place. @internal */
export function stepsOf(modules: readonly Module[], into: Module[] = []): Module[] {
  for (const module of modules)
    if (isStock(module, Sequential)) stepsOf(modulesIn(module), into);
    else into.push(module);
  return into;
}

imagewiseForward(Sequential);
consuming(Sequential, (sequential, x) => runChain(stepsOf(modulesIn(sequential)), x, { given: true }));
