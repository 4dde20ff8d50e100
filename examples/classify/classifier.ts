import { readFileSync } from 'node:fs';
import {
  GroupConvError,
  loadSafetensors,
  type Module,
  mobilenet_v1,
  mobilenet_v2,
  mobilenet_v3_large,
  mobilenet_v3_small,
  ResNeXt,
  type ResNeXtOptions,
  readSafetensorsMetadata,
  resnet50,
  resnext29_8x64d,
  resnext29_16x64d,
  resnext50_32x4d,
  resnext101_32x8d,
  resnext101_64x4d,
  scope,
  seresnext50_32x4d,
  type Tensor2D,
  type Tensor4D,
} from '../../lib/index.js';
import type { PictureInput } from './picture.js';

export interface Classifier {
  model: Module<Tensor4D, Tensor2D>;
  input: PictureInput;
  /** Names by output; empty where nobody said. */
  classes: readonly string[];
}

type Options = Record<string, unknown>;
type Build = (options: Options) => Module<Tensor4D, Tensor2D>;

const ofWidth =
  (make: (widthMultiplier: number, options: Options) => Module<Tensor4D, Tensor2D>): Build =>
  ({ widthMultiplier = 1, ...options }) =>
    make(widthMultiplier as number, options);

/** What a file or --model may name. Wrong options are the constructors' errors. */
const builders: Readonly<Record<string, Build>> = {
  ResNeXt: (options) => new ResNeXt(options as ResNeXtOptions),
  MobileNetV1: ofWidth(mobilenet_v1),
  mobilenet_v1: ofWidth(mobilenet_v1),
  mobilenet_v2: ofWidth(mobilenet_v2),
  mobilenet_v3_large: ofWidth(mobilenet_v3_large),
  mobilenet_v3_small: ofWidth(mobilenet_v3_small),
  resnext50_32x4d,
  resnext101_32x8d,
  resnext101_64x4d,
  seresnext50_32x4d,
  resnet50,
  resnext29_8x64d,
  resnext29_16x64d,
};
export const modelNames = Object.keys(builders);

/** What torchvision's networks were trained with: the shorter side to 256 pixels, the middle 224 x 224 of it. */
const IMAGENET: PictureInput = {
  channels: 3,
  height: 224,
  width: 224,
  mean: [0.485, 0.456, 0.406],
  std: [0.229, 0.224, 0.225],
  resize: 256,
};

const fail = (message: string) => new GroupConvError('INVALID_ARGUMENT', `classify: ${message}`);

/** An entry of the file's metadata, which is JSON. */
function parsed(weights: string, metadata: Record<string, string>, key: string): unknown {
  const text = metadata[key];
  if (text === undefined) return undefined;
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new GroupConvError('INVALID_FILE', `classify: ${weights}: ${key} is not JSON`, { cause });
  }
}

const isRecord = (value: unknown): value is Options =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const isExtent = (value: unknown): value is number => Number.isInteger(value) && (value as number) > 0;
const isNumbers = (value: unknown, count: number): value is number[] =>
  Array.isArray(value) && value.length === count && value.every((item) => Number.isFinite(item));

/** A single number for mean or std stands for every channel. */
function inputOf(weights: string, found: unknown): PictureInput {
  if (found === undefined) return IMAGENET;
  const { channels, height, width, resize, ...rest } = isRecord(found) ? found : {};
  const [mean, std] = [rest.mean, rest.std].map((value) =>
    Number.isFinite(value) && isExtent(channels) ? Array.from({ length: channels }, () => value) : value,
  );
  if (
    (channels === 1 || channels === 3) &&
    isExtent(height) &&
    isExtent(width) &&
    isNumbers(mean, channels) &&
    isNumbers(std, channels) &&
    std.every((deviation) => deviation > 0) &&
    (resize === undefined || isExtent(resize))
  )
    return { channels, height, width, mean, std, ...(resize !== undefined && { resize }) };
  throw new GroupConvError(
    'INVALID_FILE',
    `classify: ${weights}: groupconv.input is { channels: 1 or 3, height, width, mean, std, resize? }, found ${JSON.stringify(found)}`,
  );
}

function classesOf(weights: string, found: unknown, file: string | undefined): string[] {
  if (file !== undefined) {
    try {
      return readFileSync(file, 'utf8').trimEnd().split(/\r?\n/);
    } catch (cause) {
      throw new GroupConvError('INVALID_FILE', `classify: ${(cause as Error).message}`, { cause });
    }
  }
  if (found === undefined) return [];
  if (Array.isArray(found) && found.every((name) => typeof name === 'string')) return found;
  throw new GroupConvError('INVALID_FILE', `classify: ${weights}: groupconv.classes is no list of names`);
}

/**
 * A network with the weights of a safetensors file, ready for inference. The file's metadata says which network, which
 * input and which classes it has; what it leaves open comes from the options, and the input is ImageNet's.
 *
 * @throws GroupConvError `INVALID_ARGUMENT` (no or an unknown network, weights of another), `INVALID_FILE`
 */
export function loadClassifier(weights: string, options: { model?: string; classes?: string }): Classifier {
  const metadata = readSafetensorsMetadata(weights);
  const found = parsed(weights, metadata, 'groupconv.model');
  const told = isRecord(found) ? found : {};
  const name = options.model ?? told.name;
  if (name === undefined)
    throw fail(`${weights} doesn't say which network it holds: --model is one of ${modelNames.join(', ')}`);
  const build = Object.hasOwn(builders, String(name)) ? builders[String(name)] : undefined;
  if (!build) throw fail(`unknown network ${JSON.stringify(name)}, known are ${modelNames.join(', ')}`);
  const input = inputOf(weights, parsed(weights, metadata, 'groupconv.input'));
  const classes = classesOf(weights, parsed(weights, metadata, 'groupconv.classes'), options.classes);
  const model = build(options.model === undefined && isRecord(told.options) ? told.options : {}).eval();
  try {
    scope(() => model.loadStateDict(loadSafetensors(weights)));
  } catch (error) {
    model.dispose();
    throw error;
  }
  return { model, input, classes };
}
