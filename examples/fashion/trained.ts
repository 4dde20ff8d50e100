import { fileURLToPath } from 'node:url';
import sharp from 'sharp';
import {
  type Classifier,
  GroupConvError,
  type Image,
  loadSafetensors,
  ResNeXt,
  type ResNeXtOptions,
  readSafetensorsMetadata,
} from '../../lib/index.js';
import type { Description } from './networks.js';

/** The trained network of this repository; its card is beside it. */
export const WEIGHTS = fileURLToPath(new URL('../weights/fashion-resnext.safetensors', import.meta.url));

/** A network made and filled from a file that says what it is. */
export interface Trained {
  readonly model: Classifier;
  readonly classes: readonly string[];
  /** Of the input's channel, on a scale of 0 to 1. */
  readonly mean: readonly number[];
  readonly std: readonly number[];
}

/** Reads a network of `npm run example:fashion`. @throws GroupConvError INVALID_FILE when the file isn't one */
export function loadTrained(path = WEIGHTS): Trained {
  const metadata = readSafetensorsMetadata(path);
  const parse = <T>(key: string): T => {
    const text = metadata[`groupconv.${key}`];
    if (text === undefined)
      throw new GroupConvError('INVALID_FILE', `${path}: no groupconv.${key} in its metadata`);
    return JSON.parse(text) as T;
  };
  const { name, options } = parse<Description>('model');
  if (name !== 'ResNeXt')
    throw new GroupConvError('INVALID_FILE', `${path}: a network ${name}, expected ResNeXt`);
  const model = new ResNeXt(options as ResNeXtOptions);
  const state = loadSafetensors(path);
  model.loadStateDict(state);
  for (const tensor of state.values()) tensor.dispose();
  const { mean, std } = parse<{ mean: number[]; std: number[] }>('input');
  return { model: model.eval() as Classifier, classes: parse('classes'), mean, std };
}

/** Ten images of Fashion-MNIST's test set: the first of each class, in their order. */
export async function sampleImages(): Promise<Image[]> {
  const path = fileURLToPath(new URL('samples.png', import.meta.url));
  const { data, info } = await sharp(path).toColourspace('b-w').raw().toBuffer({ resolveWithObject: true });
  const size = info.height;
  return Array.from({ length: info.width / size }, (_, i) => ({
    data: Uint8Array.from({ length: size * size }, (_, at) => {
      const [y, x] = [Math.floor(at / size), at % size];
      return data[(y * info.width + i * size + x) * info.channels] as number;
    }),
    channels: 1,
    height: size,
    width: size,
  }));
}
