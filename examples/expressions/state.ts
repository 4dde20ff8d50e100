// The weights file names a weight by its place and its role, `dense1/conv0/depthwise_filter`; groupconv, as PyTorch, by
// the module's path and the parameter, `dense1.conv0.depthwise.weight`.
import { GroupConvError } from '../../lib/index.js';
import { convWeight, depthwiseWeight, linearWeight } from './layout.js';
import type { Weight } from './manifest.js';

/**
 * The weights under groupconv's keys and in its layout, ready for `loadStateDict`. A separable convolution has one bias
 * in the file, behind its pointwise half; the depthwise half gets zeros.
 *
 * @throws GroupConvError `INVALID_FILE` where a name has no known role or a weight the wrong rank
 */
export function stateOf(weights: ReadonlyMap<string, Weight>): Map<string, Weight> {
  const state = new Map<string, Weight>();
  for (const [name, weight] of weights) {
    const place = name.slice(0, name.lastIndexOf('/'));
    const role = name.slice(place.length + 1);
    const path = place.replaceAll('/', '.');
    if (role === 'filters') {
      state.set(`${path}.weight`, convWeight(weight));
    } else if (role === 'weights') {
      state.set(`${path}.weight`, linearWeight(weight));
    } else if (role === 'depthwise_filter') {
      const kernels = depthwiseWeight(weight);
      state.set(`${path}.depthwise.weight`, kernels);
      state.set(`${path}.depthwise.bias`, zeros(kernels.shape[0]!));
    } else if (role === 'pointwise_filter') {
      state.set(`${path}.pointwise.weight`, convWeight(weight));
    } else if (role === 'bias') {
      const owner = weights.has(`${place}/pointwise_filter`) ? `${path}.pointwise` : path;
      state.set(`${owner}.bias`, weight);
    } else {
      throw new GroupConvError('INVALID_FILE', `'${name}' is no filter, weight or bias that this net knows`);
    }
  }
  return state;
}

function zeros(length: number): Weight {
  return { shape: [length], values: new Float32Array(length) };
}
