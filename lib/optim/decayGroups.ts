import type { Module } from '../module.js';
import type { ParameterGroup } from './optimizer.js';

/**
 * A module's parameters in two groups: weights of convolutions and linear layers, which decay as the optimiser says,
 * and all with one axis or none (biases, and the weights of BatchNorm), which don't; after Goyal et al. 2017, section
 * 5.3, and He et al. 2019 ("Bag of tricks"), section 3.1.
 *
 * ```ts
 * new optim.SGD(optim.decayGroups(model), { lr: 0.1, momentum: 0.9, weightDecay: 1e-4 });
 * ```
 */
export function decayGroups(module: Module): ParameterGroup[] {
  const params = module.parameters();
  return [
    { params: params.filter(({ rank }) => rank > 1) },
    { params: params.filter(({ rank }) => rank <= 1), weightDecay: 0 },
  ].filter((group) => group.params.length > 0);
}
