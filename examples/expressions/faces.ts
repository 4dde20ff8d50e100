import sharp from 'sharp';
import { faceApiFile } from '../faceApi.js';
import { INPUT_SIZE } from './expressionNet.js';

/** The photograph with the faces, in the package `@vladmandic/face-api`. */
export const PHOTOGRAPH = 'demo/sample1.jpg';

/** A square of the photograph, in pixels. */
export interface FaceCrop {
  readonly left: number;
  readonly top: number;
  readonly size: number;
}

/** Its faces from left to right, as face-api's SSD detector finds them (test/golden/makeExpressions.mjs). */
export const FACES: readonly FaceCrop[] = [
  { left: 383, top: 355, size: 240 },
  { left: 817, top: 421, size: 228 },
  { left: 1457, top: 199, size: 241 },
];

/** Cuts the faces out and resizes them for the net: each is [112, 112, 3] bytes, RGB. */
export function cropFaces(faces: readonly FaceCrop[] = FACES): Promise<Uint8Array[]> {
  return Promise.all(
    faces.map(({ left, top, size }) =>
      sharp(faceApiFile(PHOTOGRAPH))
        .extract({ left, top, width: size, height: size })
        .resize(INPUT_SIZE, INPUT_SIZE, { fit: 'fill', kernel: 'linear' })
        .raw()
        .toBuffer(),
    ),
  );
}
