/** What is measured: the layers and the networks, those that a goal is about first. */
import { readNetworks } from '../networks.js';
import { readShapes } from '../shapes.js';
import { goals } from './goals.js';
import { isGrouped, type KernelCase } from './kernels.js';
import type { NetworkCase } from './networks.js';
import { type Precision, passes } from './rows.js';

/** Files of layers, and networks of their own. */
const names = ['resnext50_32x4d', 'mobilenet_v1'] as const;

/** All passes of the grouped and depthwise layers of some files. */
export function layerCases(files: readonly string[], batch: number, precision: Precision): KernelCase[] {
  const layers = files.flatMap(readShapes).filter(isGrouped);
  return layers.flatMap((layer) => passes.map((pass) => ({ layer, batch, precision, pass })));
}
export const goalLayers = (): KernelCase[] => layerCases(names, 256, 'bfloat16');
export function otherLayers(): KernelCase[] {
  const others = [
    [32, 'bfloat16'],
    [256, 'tf32'],
    [256, 'float32'],
    [32, 'tf32'],
    [32, 'float32'],
  ] as const;
  return others.flatMap(([batch, precision]) => layerCases(names, batch, precision));
}

function networkCases(): NetworkCase[] {
  const works = [
    ['inference', 256, false],
    ['training', 256, false],
    ['inference', 1, true],
    ['inference', 32, false],
    ['training', 32, true],
  ] as const;
  const known = readNetworks();
  return names.flatMap((name) => {
    const network = known.find((each) => each.name === name);
    if (!network) throw new Error(`networks.txt lacks ${name}`);
    return works.map(([work, n, captured]) => ({
      ...{ network, work, n, captured },
      precision: 'bfloat16' as const,
    }));
  });
}
const isGoal = ({ network, work, n }: NetworkCase) =>
  goals.some(
    (goal) => 'network' in goal && goal.network === network.name && goal.work === work && goal.n === n,
  );
export const goalNetworks = (): NetworkCase[] => networkCases().filter(isGoal);
export const otherNetworks = (): NetworkCase[] => networkCases().filter((each) => !isGoal(each));
