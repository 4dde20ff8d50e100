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

/**
 * Why a measurement isn't to be trusted to a few percent; null where nothing speaks against it.
 * @param peaks the machine's multiply-add peak, measured before, between and after the runs
 */
export function noise({ min, median }: Summary, peaks: readonly number[]): string | null {
  if (Math.max(...peaks) > 1.05 * Math.min(...peaks)) return 'peak moved';
  if (median > 1.15 * min) return 'median far from min';
  return null;
}

/** ||actual - expected|| / ||expected||, Euclidean. */
export function relativeError(actual: readonly number[], expected: readonly number[]): number {
  if (actual.length !== expected.length) return Number.POSITIVE_INFINITY;
  const norm = (values: number[]) => Math.sqrt(values.reduce((sum, value) => sum + value * value, 0));
  return norm(actual.map((value, i) => value - expected[i]!)) / norm([...expected]);
}
