import { randomUUID } from 'node:crypto';
import { open, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { check, GroupConvError, show } from '../errors.js';

/** A number would be taken for an open file. @throws INVALID_ARGUMENT @internal */
export function checkPath(caller: string, path: string): void {
  check(
    typeof path === 'string' && path !== '',
    'INVALID_ARGUMENT',
    () => `${caller}: path is the name of a file, found ${show(path)}`,
  );
}

/**
 * Writes a file of these parts, one after the other. It appears complete or not at all: it is written under another
 * name in the same folder, brought to the disk, and then renamed; once this resolves, the new name is on the disk, too.
 *
 * @param caller for messages, as the user calls it
 * @throws INVALID_FILE when it can't be written, INVALID_ARGUMENT (path)
 * @internal
 */
export async function writeAtomically(
  caller: string,
  path: string,
  parts: readonly ArrayBufferView[],
): Promise<void> {
  checkPath(caller, path);
  const temporary = join(dirname(path), `.${basename(path)}.${randomUUID()}.tmp`);
  try {
    const file = await open(temporary, 'wx');
    try {
      for (const { buffer, byteOffset, byteLength } of parts)
        await file.writeFile(new Uint8Array(buffer, byteOffset, byteLength));
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

/** Brings a folder's names to the disk, where the system lets folders be opened for it (Windows doesn't). */
async function syncFolder(path: string): Promise<void> {
  if (process.platform === 'win32') return;
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
