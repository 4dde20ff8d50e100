import { createRequire } from 'node:module';
import path from 'node:path';

/**
 * Path of a file in the npm package `@vladmandic/face-api` (MIT), a development dependency of which the examples use
 * only data: trained weights in `model/` and photographs in `demo/`.
 *
 * @param parts - the path inside the package, for example `'demo', 'sample1.jpg'`
 */
export function faceApiFile(...parts: string[]): string {
  const require = createRequire(import.meta.url);
  return path.join(path.dirname(require.resolve('@vladmandic/face-api/package.json')), ...parts);
}
