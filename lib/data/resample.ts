import type { Image } from './dataset.js';

/** For each output position the first input it reads, and the weights of that and the next ones. */
interface Taps {
  first: Int32Array;
  weights: Float64Array[];
}

/** A triangle as wide as the ratio of the sizes, at least two inputs. */
function triangle(from: number, to: number): Taps {
  const ratio = from / to;
  const reach = Math.max(1, ratio);
  const first = new Int32Array(to);
  const weights: Float64Array[] = [];
  for (let i = 0; i < to; i++) {
    const centre = (i + 0.5) * ratio;
    const begin = Math.max(0, Math.floor(centre - reach + 0.5));
    const end = Math.min(from, Math.floor(centre + reach + 0.5));
    const raw = Float64Array.from({ length: end - begin }, (_, j) =>
      Math.max(0, 1 - Math.abs(begin + j + 0.5 - centre) / reach),
    );
    const sum = raw.reduce((total, weight) => total + weight, 0);
    first[i] = begin;
    weights.push(raw.map((weight) => weight / sum));
  }
  return { first, weights };
}

/** Resamples `outer` lines whose elements lie `stride` apart. */
function along(
  x: ArrayLike<number>,
  y: Float64Array,
  outer: number,
  from: number,
  to: number,
  stride: number,
): void {
  const { first, weights } = triangle(from, to);
  for (let line = 0; line < outer; line++)
    for (let i = 0; i < to; i++) {
      const own = weights[i] as Float64Array;
      const start = (line * from + (first[i] as number)) * stride;
      for (let at = 0; at < stride; at++) {
        let sum = 0;
        for (let j = 0; j < own.length; j++)
          sum += (own[j] as number) * (x[start + j * stride + at] as number);
        y[(line * to + i) * stride + at] = sum;
      }
    }
}

/**
 * Bilinear, with antialiasing where the image shrinks: PyTorch's interpolate(mode='bilinear', antialias=True,
 * align_corners=False). Bytes are rounded at the end. @internal
 */
export function resample(image: Image, height: number, width: number): Image {
  const { channels } = image;
  const rows = new Float64Array(channels * image.height * width);
  along(image.data, rows, channels * image.height, image.width, width, 1);
  const all = new Float64Array(channels * height * width);
  along(rows, all, channels, image.height, height, width);
  const data =
    image.data instanceof Uint8Array
      ? Uint8Array.from(all, (value) => Math.min(255, Math.max(0, Math.round(value))))
      : Float32Array.from(all);
  return { data, channels, height, width };
}
