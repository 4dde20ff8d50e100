/** What rows say together: one line a case, with the library's solvers, cuDNN and PyTorch side by side. */
import type { KernelRow, MatrixRate, Pass, Precision } from './rows.js';

/** A case's rows; undefined where nobody of that kind could do it, or it wasn't measured. */
export interface KernelLine {
  layer: string;
  batch: number;
  precision: Precision;
  pass: Pass;
  /** The fastest of the library's solvers, cuDNN among them: what autotuning takes. */
  ours: KernelRow | undefined;
  /** The fastest of its own kernels. */
  own: KernelRow | undefined;
  /** The fastest of cuDNN's engines. */
  cudnn: KernelRow | undefined;
  torch: KernelRow | undefined;
  failures: string[];
}

const isTorch = ({ by }: KernelRow) => by === 'PyTorch';
const isCudnn = ({ by }: KernelRow) => by.startsWith('cudnn');

export function fastest<Row extends { seconds?: number }>(rows: readonly Row[]): Row | undefined {
  return rows
    .filter(({ seconds }) => seconds !== undefined && seconds > 0)
    .sort((a, b) => (a.seconds as number) - (b.seconds as number))[0];
}

export function kernelLines(rows: readonly KernelRow[]): KernelLine[] {
  const cases = new Map<string, KernelRow[]>();
  for (const row of rows) {
    const key = [row.layer, row.batch, row.precision, row.pass].join(' ');
    cases.set(key, [...(cases.get(key) ?? []), row]);
  }
  return [...cases.values()].map((of) => {
    const [{ layer, batch, precision, pass }] = of as [KernelRow];
    return {
      ...{ layer, batch, precision, pass },
      ours: fastest(of.filter((row) => !isTorch(row))),
      own: fastest(of.filter((row) => !isTorch(row) && !isCudnn(row))),
      cudnn: fastest(of.filter(isCudnn)),
      torch: fastest(of.filter(isTorch)),
      failures: of.flatMap(({ by, failure }) => (failure ? [`${by}: ${failure}`] : [])),
    };
  });
}

/** How often `row` is as fast as `other`; NaN where one is missing. */
export const ratio = (row: KernelRow | undefined, other: KernelRow | undefined): number =>
  (other?.seconds ?? Number.NaN) / (row?.seconds ?? Number.NaN);

/** The rate that products of a precision reach at most: the best that was measured, by whomever. */
export function matrixRate(rates: readonly MatrixRate[], precision: Precision): MatrixRate | undefined {
  // float16 has bfloat16's units
  const of = rates.filter((rate) => rate.precision === (precision === 'float16' ? 'bfloat16' : precision));
  return of.sort((a, b) => b.teraflops - a.teraflops)[0];
}

export const geometricMean = (values: readonly number[]): number =>
  Math.exp(values.reduce((sum, value) => sum + Math.log(value), 0) / values.length);
