import { type DType, dtypeCode } from './dtype.js';
import { type DeviceIndex, type HostArray, native } from './native.js';
import { eachRun, holdForReplays } from './recording.js';
import { Storage } from './storage.js';

/**
 * A few numbers that are others every time (a learning rate, a position in a random sequence), for work that reads them
 * when it runs. `next` is called now, and, where a function is captured, before every replay.
 *
 * @returns storage [n]; the caller releases it
 */
export function feed(device: DeviceIndex, dtype: DType, next: () => HostArray): Storage {
  let fed: Storage | null = null;
  eachRun(() => {
    const numbers = next();
    if (fed) native.write(fed.handle, numbers);
    else fed = new Storage(native.upload(device, [numbers.length], dtypeCode(dtype), numbers));
  });
  const made = fed as unknown as Storage;
  holdForReplays(made);
  return made;
}
