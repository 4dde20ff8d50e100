import { capture, type Device, scope, synchronize } from '../../lib/index.js';
import { type Summary, summarise } from '../statistics.js';

/** How long one measurement may take, and how many samples it is made of. */
export interface Effort {
  seconds: number;
  samples: number;
}
export const usualEffort: Effort = { seconds: 0.15, samples: 5 };

/**
 * Times work that is queued on a device: a sample queues it as often as fills its share of the time and waits once, so
 * that the device never waits for the host, if one call keeps it busy for longer than JavaScript takes to make it. What
 * the work returns is disposed of: kept results would have the device ask for new memory all the time.
 */
export async function timeOnDevice(
  device: Device,
  work: () => void,
  effort: Effort = usualEffort,
): Promise<Summary> {
  const sample = async (repeats: number) => {
    const start = performance.now();
    for (let i = 0; i < repeats; ++i) scope(() => void work());
    await synchronize(device);
    return (performance.now() - start) / 1000 / repeats;
  };
  await sample(1); // whatever happens once: plans, packed weights
  const repeats = repeatsFor(effort, await sample(3));
  const samples: number[] = [];
  for (let i = 0; i < effort.samples; ++i) samples.push(await sample(repeats));
  return summarise(samples);
}

const repeatsFor = ({ seconds, samples }: Effort, once: number) =>
  Math.max(1, Math.round(seconds / samples / once));

/** A graph lasts about this long: the host takes some 10 us to launch one, the clock and the wait as much again. */
const graphSeconds = 2e-3;
const mostRuns = 512;

/**
 * Times a piece of work that is shorter than queueing it: many runs of it become one graph, and graphs are what a sample
 * repeats. `round` queues one run on each of `runs` sets of data, which take turns so that no cache holds them.
 */
export async function timeReplayed(
  device: Device,
  round: () => void,
  runs: number,
  effort: Effort = usualEffort,
): Promise<Summary> {
  const { min } = await timeOnDevice(device, round, { seconds: effort.seconds / 5, samples: 2 });
  const rounds = Math.max(1, Math.min(Math.round(graphSeconds / min), Math.floor(mostRuns / runs)));
  const graph = capture(() => {
    for (let i = 0; i < rounds; ++i) round();
  });
  try {
    const { median, ...rest } = await timeOnDevice(device, graph, effort);
    return { ...rest, min: rest.min / rounds / runs, median: median / rounds / runs };
  } finally {
    graph.dispose();
  }
}
