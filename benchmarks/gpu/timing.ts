import { type Device, scope, synchronize } from '../../lib/index.js';
import { type Summary, summarise } from '../statistics.js';

/** How long one measurement may take, and how many samples it is made of. */
export interface Effort {
  seconds: number;
  samples: number;
}
export const usualEffort: Effort = { seconds: 0.15, samples: 5 };

/**
 * Times work that is queued on a device: a sample queues it as often as fills its share of the time and waits once, so
 * that the device never waits for the host. `work(i)` gets the number of the call, to take another input every time:
 * what fits a cache would be measured there.
 */
export async function timeOnDevice(
  device: Device,
  work: (call: number) => void,
  effort: Effort = usualEffort,
): Promise<Summary> {
  let calls = 0;
  const sample = async (repeats: number) => {
    const start = performance.now();
    for (let i = 0; i < repeats; ++i) scope(() => work(calls++));
    await synchronize(device);
    return (performance.now() - start) / 1000 / repeats;
  };
  await sample(1); // whatever happens once: plans, packed weights
  const first = await sample(3);
  const repeats = Math.max(1, Math.round(effort.seconds / effort.samples / first));
  const samples: number[] = [];
  for (let i = 0; i < effort.samples; ++i) samples.push(await sample(repeats));
  return summarise(samples);
}
