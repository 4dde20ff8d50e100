import type { Variant } from './networks.js';

/** One training. */
export interface Run extends Variant {
  readonly seed: number;
  readonly parameters: number;
  /** Of the test images, in percent. */
  readonly error: number;
  /** Of the last epoch. */
  readonly trainLoss: number;
  readonly seconds: number;
}

export interface Spread {
  readonly mean: number;
  /** The standard deviation of a sample (n - 1). */
  readonly deviation: number;
  readonly count: number;
}

export function spread(values: readonly number[]): Spread {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return { mean, deviation: Math.sqrt(squares / Math.max(1, values.length - 1)), count: values.length };
}

export const show = ({ mean, deviation }: Spread, digits = 2) =>
  `${mean.toFixed(digits)} ± ${deviation.toFixed(digits)}`;

/** The difference of two means, and its standard error. */
function difference(a: Spread, b: Spread): { mean: number; error: number } {
  return {
    mean: a.mean - b.mean,
    error: Math.sqrt(a.deviation ** 2 / a.count + b.deviation ** 2 / b.count),
  };
}

/** What the numbers say of a claim that `better` has a lower error than `worse`; two standard errors decide. */
function verdict(claim: string, better: Spread, worse: Spread): string {
  const { mean, error } = difference(worse, better);
  const measured = `by ${mean.toFixed(2)} ± ${error.toFixed(2)} points`;
  if (Math.abs(mean) <= 2 * error) return `${claim}: not decided (${measured})`;
  return mean > 0
    ? `${claim}: agrees with the paper (${measured})`
    : `${claim}: contradicts the paper (${measured})`;
}

/** The paper's claims against these runs. */
export function findings(runs: readonly Run[], cardinalities: readonly number[]): string[] {
  const of = (wanted: Partial<Variant>) =>
    spread(
      runs
        .filter((run) => Object.entries(wanted).every(([key, value]) => run[key as keyof Run] === value))
        .map(({ error }) => error),
    );
  const [least = 1, most = 1] = [Math.min(...cardinalities), Math.max(...cardinalities)];
  const ends = [true, false].map((residual) =>
    verdict(
      `${residual ? 'With' : 'Without'} residuals, cardinality ${most} has a lower test error than ${least} (table 3)`,
      of({ cardinality: most, residual }),
      of({ cardinality: least, residual }),
    ),
  );
  const residuals = [least, most].map((cardinality) =>
    verdict(
      `At cardinality ${cardinality}, residuals lower the test error (table 5)`,
      of({ cardinality, residual: true }),
      of({ cardinality, residual: false }),
    ),
  );
  return [
    ...ends,
    ...residuals,
    verdict(
      'Over all cardinalities, residuals lower the test error',
      of({ residual: true }),
      of({ residual: false }),
    ),
  ];
}
