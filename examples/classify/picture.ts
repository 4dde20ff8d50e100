import sharp from 'sharp';
import { GroupConvError } from '../../lib/index.js';

/** What a network expects of a picture. Pixels are (value / 255 - mean) / std, by channel. */
export interface PictureInput {
  /** 1: grey, 3: red, green, blue. */
  channels: 1 | 3;
  height: number;
  width: number;
  mean: readonly number[];
  std: readonly number[];
  /** The shorter side before the middle is cut out, in pixels; by default the picture just covers the input. */
  resize?: number;
}

/**
 * Reads a picture of any format that sharp knows as [channels, height, width]: upright, resized bilinearly, its middle.
 *
 * @throws GroupConvError `INVALID_FILE` where there is no such picture
 */
export async function readPicture(file: string, input: PictureInput): Promise<Float32Array> {
  const { channels, height, width, mean, std } = input;
  const { data, info } = await readPixels(file, input);
  const picture = new Float32Array(channels * height * width);
  const plane = height * width;
  for (let channel = 0; channel < channels; channel++)
    for (let i = 0; i < plane; i++)
      picture[channel * plane + i] =
        (data[i * info.channels + channel]! / 255 - mean[channel]!) / std[channel]!;
  return picture;
}

/** Bytes, [height, width, info.channels]. */
async function readPixels(file: string, { channels, height, width, resize }: PictureInput) {
  const cover = resize === undefined ? 1 : Math.max(1, resize / Math.min(height, width));
  const covering = { width: Math.round(width * cover), height: Math.round(height * cover) };
  try {
    return await sharp(file)
      .autoOrient()
      .flatten({ background: 'white' }) // where it is transparent
      .resize({ ...covering, fit: 'cover', kernel: 'linear' })
      .extract({
        left: Math.round((covering.width - width) / 2),
        top: Math.round((covering.height - height) / 2),
        width,
        height,
      })
      .toColourspace(channels === 1 ? 'b-w' : 'srgb')
      .raw()
      .toBuffer({ resolveWithObject: true });
  } catch (cause) {
    throw new GroupConvError('INVALID_FILE', `classify: ${file}: ${(cause as Error).message}`, { cause });
  }
}
