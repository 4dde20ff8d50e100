import { readFile } from 'node:fs/promises';
import { GroupConvError } from '../errors.js';

/** What is wrong with a file, and where. @internal */
export function invalidFile(reader: string, path: string, offset: number, what: string, cause?: unknown) {
  return new GroupConvError('INVALID_FILE', `${reader}: ${path}: byte ${offset}: ${what}`, { cause });
}

/** The bytes of a file. @throws INVALID_FILE when it can't be read @internal */
export async function fileBytes(reader: string, path: string): Promise<Uint8Array> {
  try {
    return await readFile(path);
  } catch (cause) {
    throw new GroupConvError('INVALID_FILE', `${reader}: ${path}: ${(cause as Error).message}`, { cause });
  }
}
