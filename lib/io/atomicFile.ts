import { randomUUID } from 'node:crypto';
import { open, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { GroupConvError } from '../errors.js';

/** Makes a rename last through a power failure, where the system lets a folder be synchronised. */
async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r').catch(() => null);
  await handle?.sync().catch(() => {});
  await handle?.close();
}

/**
 * Writes a file that appears complete or not at all: under another name in the same folder, on the disk, then renamed.
 *
 * @param caller names the public function in the error
 * @throws INVALID_FILE when it can't be written; what was at `path` is then untouched
 * @internal
 */
export async function writeAtomically(
  caller: string,
  path: string,
  parts: readonly (Uint8Array | string)[],
): Promise<void> {
  const temporary = join(dirname(path), `.${basename(path)}.${randomUUID()}.tmp`);
  try {
    const file = await open(temporary, 'wx');
    try {
      for (const part of parts) await file.writeFile(part);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
    await syncFolder(dirname(path));
  } catch (cause) {
    await rm(temporary, { force: true });
    throw new GroupConvError('INVALID_FILE', `${caller}: ${path}: ${(cause as Error).message}`, { cause });
  }
}
