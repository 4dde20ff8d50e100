/** Autotuning a whole network within a time: cuDNN builds several plans for each of its problems, some in a second. */
import { type Device, setAutotune, synchronize } from '../../lib/index.js';
import { observeNative } from '../../lib/native.js';
import { pulseSeconds } from './plan.js';

/**
 * Runs the work once with autotuning on, for so many seconds; what comes later keeps the library's own choice. Leaves
 * autotuning off. @returns whether all of it was tuned
 */
export async function tune(run: () => void, device: Device, seconds: number): Promise<boolean> {
  const deadline = Date.now() + seconds * 1000;
  let said = Date.now();
  // The queue may hold back the calls themselves: then no timer fires in between.
  const look = () => {
    if (Date.now() > deadline) setAutotune(false);
    else if (Date.now() > said + 1000 * pulseSeconds) {
      said = Date.now();
      console.log('… tuning');
    }
  };
  const timer = setInterval(look, 100);
  setAutotune(true);
  try {
    observeNative(look, run);
    await synchronize(device);
    return Date.now() <= deadline;
  } finally {
    clearInterval(timer);
    setAutotune(false);
  }
}
