import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type MobileNetV1, mobilenet_v1, ResNeXt, summary } from '../lib/index.js';
import type { NetworkWork } from './peers/protocol.js';

/** A network as networks.txt describes it. */
export interface Network {
  name: string;
  family: 'resnet' | 'mobilenet';
  blocks: number[];
  cardinality: number;
  width: number;
}

/** A network a line: name, family and, for resnets, blocks per stage, cardinality and width; `#` starts a comment. */
export function parseNetworks(text: string): Network[] {
  return text.split('\n').flatMap((line, index): Network[] => {
    const [name, family, ...numbers] = line.replace(/#.*/, '').trim().split(/\s+/);
    if (!name) return [];
    const [blocks, cardinality, width] = numbers;
    const network = {
      blocks: blocks?.split(',').map(Number) ?? [],
      cardinality: Number(cardinality),
      width: Number(width),
    };
    if (family === 'mobilenet' && numbers.every((field) => field === '-'))
      return [{ name, family, blocks: [], cardinality: 1, width: 1 }];
    const all = [...network.blocks, network.cardinality, network.width];
    if (family !== 'resnet' || numbers.length !== 3 || !all.every((n) => Number.isInteger(n) && n > 0))
      throw new Error(
        `networks.txt:${index + 1}: expected name, family, blocks, cardinality and width, found "${line}"`,
      );
    return [{ name, family, ...network }];
  });
}

export function readNetworks(): Network[] {
  return parseNetworks(readFileSync(fileURLToPath(new URL('./networks.txt', import.meta.url)), 'utf8'));
}

/** groupconv's own model: torchvision's ResNet by its two numbers, or MobileNet. */
export function buildNetwork({
  family,
  blocks,
  cardinality,
  width,
}: Omit<Network, 'name'>): ResNeXt | MobileNetV1 {
  if (family === 'mobilenet') return mobilenet_v1();
  return new ResNeXt({
    cardinality,
    blockRepeats: blocks.map((count, stage) => [cardinality * width * 2 ** stage, count] as const),
    expansion: 256 / (cardinality * width),
    firstStride: 1,
    stemBias: false,
    projectionBias: false,
    zeroInitResidual: false,
  });
}

/** A pass over a batch of images; the learning rate is small, so that a long measurement stays finite. */
export function networkWork(
  network: Network,
  work: NetworkWork['work'],
  n: number,
  folder: string,
): NetworkWork {
  const { name, ...sizes } = network;
  const file = join(folder, `${name}.${n}.onnx`);
  return { ...sizes, work, n, size: 224, state: 20000, input: 30000, lr: 0.001, momentum: 0.9, file };
}

/** Multiply-adds of a forward pass over `n` images at 224 x 224, from the layers of the network's description. */
export function networkMultiplyAdds(network: Network, n: number): number {
  const model = buildNetwork(network);
  try {
    return summary(model, [n, 3, 224, 224]).multAdds;
  } finally {
    model.dispose();
  }
}
