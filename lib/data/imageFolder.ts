import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type sharpModule from 'sharp';
import { check, GroupConvError, show } from '../errors.js';
import { checkOptions } from '../options.js';
import { checkIndex, type Dataset, type Image, type Sample } from './dataset.js';

type Sharp = typeof sharpModule;

/** sharp is no dependency of ours: only who reads image files needs it. */
async function loadSharp(): Promise<Sharp> {
  try {
    return (await import('sharp')).default;
  } catch (cause) {
    throw new GroupConvError(
      'UNSUPPORTED',
      `imageFolder: reading image files needs the package sharp: npm install sharp (${(cause as Error).message})`,
      { cause },
    );
  }
}

const IMAGE = /\.(jpe?g|png|webp|gif|avif|tiff?)$/i;

export interface ImageFolderOptions {
  /** 3: red, green, blue (default); 1: grey. */
  channels?: 1 | 3;
}

/** [height, width, channels] to [channels, height, width]; `given` channels, of which grey ones stand for all. */
function planes(pixels: Uint8Array, given: number, channels: number): Uint8Array {
  const size = pixels.length / given;
  const data = new Uint8Array(size * channels);
  for (let c = 0; c < channels; c++) {
    const from = given < channels ? 0 : c;
    for (let i = 0; i < size; i++) data[c * size + i] = pixels[i * given + from] as number;
  }
  return data;
}

class ImageFolder implements Dataset {
  readonly length: number;

  constructor(
    readonly classes: readonly string[],
    /** Paths and labels, class by class. */
    readonly files: readonly (readonly [path: string, label: number])[],
    private readonly sharp: Sharp,
    private readonly channels: 1 | 3,
  ) {
    this.length = files.length;
  }

  async get(index: number): Promise<Sample> {
    checkIndex('imageFolder', index, this.length);
    const [path, label] = this.files[index] as readonly [string, number];
    return { image: await this.#decode(path), label };
  }

  async #decode(path: string): Promise<Image> {
    const { channels } = this;
    try {
      const { data, info } = await this.sharp(path)
        .toColourspace(channels === 1 ? 'b-w' : 'srgb')
        .removeAlpha()
        .raw()
        .toBuffer({ resolveWithObject: true });
      const { height, width } = info;
      return { data: planes(data, info.channels, channels), channels, height, width };
    } catch (cause) {
      throw new GroupConvError('INVALID_FILE', `imageFolder: ${path}: ${(cause as Error).message}`, {
        cause,
      });
    }
  }
}

/**
 * The images of a folder with one folder for each class, as torchvision's ImageFolder: classes are sorted by name, so
 * are the files of a class (jpg, png, webp, gif, avif, tiff; in any depth). They are decoded when asked for, by
 * `sharp` (`npm install sharp`), outside of JavaScript's thread.
 *
 * Sizes may differ: a DataLoader needs a transform that makes them one. A file that can't be decoded is an
 * INVALID_FILE when it is asked for.
 *
 * @throws INVALID_FILE when the folder can't be read or has no images, UNSUPPORTED without sharp, INVALID_ARGUMENT
 */
export async function imageFolder(folder: string, options: ImageFolderOptions = {}): Promise<Dataset> {
  checkOptions('imageFolder', options, ['channels']);
  const { channels = 3 } = options;
  check(
    channels === 1 || channels === 3,
    'INVALID_ARGUMENT',
    () => `imageFolder: channels is 1 or 3, found ${show(channels)}`,
  );
  const sharp = await loadSharp();
  const list = async (path: string, deep: boolean) => {
    try {
      return await readdir(path, { withFileTypes: true, recursive: deep });
    } catch (cause) {
      throw new GroupConvError('INVALID_FILE', `imageFolder: ${path}: ${(cause as Error).message}`, {
        cause,
      });
    }
  };
  const classes = (await list(folder, false))
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => name)
    .sort();
  const files = await Promise.all(
    classes.map(async (name, label) =>
      (await list(join(folder, name), true))
        .filter((entry) => entry.isFile() && IMAGE.test(entry.name))
        .map((entry) => join(entry.parentPath, entry.name))
        .sort()
        .map((path): [string, number] => [path, label]),
    ),
  );
  const all = files.flat();
  check(all.length > 0, 'INVALID_FILE', () => `imageFolder: ${folder}: no images in folders named by class`);
  return new ImageFolder(classes, all, sharp, channels);
}
