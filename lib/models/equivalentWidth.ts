import { check } from '../errors.js';
import { checkOptions, count } from '../options.js';

export interface EquivalentWidthOptions {
  /** Channels in and out of the block; 256 by default. */
  channels?: number;
  /** Height and width of the branches' spatial kernel; 3 by default. */
  kernelSize?: number;
  /** The block to be equalled; cardinality 1, width 64 by default: ResNet-50's first. */
  reference?: { cardinality: number; width: number };
}

/**
 * The width d of each of `cardinality` branches with which a bottleneck block has (most nearly) as many parameters as
 * a reference block: cardinality * (channels d + kernelSize² d² + channels d). Table 2 of the ResNeXt paper (Xie et
 * al. 2017): 1, 2, 4, 8 and 32 branches of 64, 40, 24, 14 and 4 channels have about 70 k parameters each.
 *
 * @throws INVALID_ARGUMENT
 */
export function equivalentWidth(cardinality: number, options: EquivalentWidthOptions = {}): number {
  const name = 'equivalentWidth';
  checkOptions(name, options, ['channels', 'kernelSize', 'reference']);
  const { channels = 256, kernelSize = 3, reference = { cardinality: 1, width: 64 } } = options;
  checkOptions(`${name}: reference`, reference, ['cardinality', 'width']);
  count(name, 'cardinality', cardinality);
  const area = count(name, 'kernelSize', kernelSize) ** 2;
  const cost = (branches: number, width: number) =>
    branches * (2 * count(name, 'channels', channels) * width + area * width ** 2);
  const wanted = cost(
    count(name, 'reference.cardinality', reference.cardinality),
    count(name, 'reference.width', reference.width),
  );
  // area d² + 2 channels d = wanted / cardinality
  const exact = (Math.sqrt(channels ** 2 + (area * wanted) / cardinality) - channels) / area;
  const [below, above] = [Math.floor(exact), Math.ceil(exact)];
  const nearest = wanted - cost(cardinality, below) <= cost(cardinality, above) - wanted ? below : above;
  check(
    nearest > 0,
    'INVALID_ARGUMENT',
    () => `${name}: ${cardinality} branches of one channel already have more than ${wanted} parameters`,
  );
  return nearest;
}
