/**
 * A process that trains and dies: `node … crashingTraining.ts CHECKPOINT CRASH`. It goes on from the checkpoint, if there
 * is one, prints a line of JSON for each epoch, and kills itself (SIGKILL) at the file operation with the number CRASH, in
 * the middle of it where it writes. With CRASH = 0 it prints their number in one epoch instead.
 */
import promises from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import { toyTraining } from './toyTraining.js';

const [, , path = '', crash = '0'] = process.argv;
let operations = 0;
const die = () => process.kill(process.pid, 'SIGKILL');
const isDue = () => ++operations === Number(crash);

const { open, rename } = promises;
type FileHandle = Awaited<ReturnType<typeof open>>;

/** The file's operations, counted. */
function watched(file: FileHandle): FileHandle {
  const { writeFile, sync, close } = file;
  file.writeFile = async (data, ...rest) => {
    if (isDue()) {
      await writeFile.call(file, (data as Uint8Array).subarray(0, (data as Uint8Array).length / 2), ...rest);
      die();
    }
    return writeFile.call(file, data, ...rest);
  };
  file.sync = async () => {
    if (isDue()) die();
    return sync.call(file);
  };
  file.close = async () => {
    if (isDue()) die();
    return close.call(file);
  };
  return file;
}
promises.open = async (...args) => {
  if (isDue()) die();
  return watched(await open(...args));
};
promises.rename = async (from, to) => {
  if (isDue()) die();
  await rename(from, to);
  if (isDue()) die();
};
syncBuiltinESMExports();
const { fit } = await import('../../lib/index.js');

const { model, options } = toyTraining();
const history = await fit(model, { ...options, checkpoint: { path, resume: true } });
for (const { train, validation, lr } of history.epochs)
  console.log(JSON.stringify({ train, validation, lr }));
console.log(operations);
