/** What many runs of one piece of work say. Times are in seconds. */
export interface Summary {
  min: number;
  median: number;
  runs: number;
}

export function summarise(samples: readonly number[]): Summary {
  const sorted = [...samples].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const [low, high] = [sorted[sorted.length % 2 ? middle : middle - 1], sorted[middle]];
  return {
    min: sorted[0] ?? Number.NaN,
    median: ((low ?? Number.NaN) + (high ?? Number.NaN)) / 2,
    runs: sorted.length,
  };
}

/** The machine's peak around a measurement, in FLOP/s. */
export interface Peaks {
  before: number;
  after: number;
}

/** Why a measurement isn't to be trusted to a few percent; null where nothing speaks against it. */
export function noise({ min, median }: Summary, { before, after }: Peaks): string | null {
  if (Math.max(before, after) > 1.05 * Math.min(before, after)) return 'peak moved';
  if (median > 1.15 * min) return 'median far';
  return null;
}

/** ||actual - expected|| / ||expected||, Euclidean. */
export function relativeError(actual: readonly number[], expected: readonly number[]): number {
  if (actual.length !== expected.length) return Number.POSITIVE_INFINITY;
  const norm = (values: number[]) => Math.sqrt(values.reduce((sum, value) => sum + value * value, 0));
  return norm(actual.map((value, i) => value - expected[i]!)) / norm([...expected]);
}
