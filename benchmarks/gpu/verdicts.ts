/** What a report says of the goals. */
import {
  type Goal,
  goals,
  isAtMost,
  type LayerSet,
  layerSets,
  type NetworkWork,
  type Other,
  whatOf,
} from './goals.js';
import { fastest, geometricMean, type KernelLine, kernelLines, ratio } from './lines.js';
import type { GpuReport } from './report.js';
import { isOurs, type KernelRow, type NetworkRow, type Pass, torchModes } from './rows.js';

export interface Verdict {
  goal: Goal;
  /** What the goal is about, in words. */
  what: string;
  /** NaN where rows are missing. */
  measured: number;
  /** `open` where it is reached beside those that were measured, and a rival that the goal names was not. */
  verdict: 'met' | 'open' | 'short' | 'not measured';
  /** Whom it is met against, and who is missing. */
  note?: string;
}

/** A set's lines at a batch and precision, each as often as the network has the layer; null where one is missing. */
export function linesOf(
  rows: readonly KernelRow[],
  set: LayerSet,
  pass: Pass,
  batch = 256,
  precision = 'bfloat16',
): KernelLine[] | null {
  const times: Record<string, number> = layerSets[set].times;
  const lines = kernelLines(rows).filter(
    (line) =>
      times[line.layer] !== undefined &&
      line.pass === pass &&
      line.batch === batch &&
      line.precision === precision,
  );
  if (lines.length < Object.keys(times).length) return null;
  return lines.flatMap((line) => Array<KernelLine>(times[line.layer] as number).fill(line));
}

/** Sums over lines; NaN where one has no time of ours. */
const secondsOf = (lines: readonly KernelLine[]) =>
  lines.reduce((sum, { ours }) => sum + (ours?.seconds ?? Number.NaN), 0);

/** Our own kernel, where there is one, beside theirs: that cuDNN is as fast as itself is no merit. */
export function meanRatio(lines: readonly KernelLine[], as: Other): number {
  return geometricMean(
    lines.map(({ ours, own, cudnn, torch }) => {
      if (as === 'PyTorch') return ratio(ours, torch);
      const others = as === 'cuDNN' ? [cudnn] : [cudnn, torch];
      return ratio(own ?? ours, fastest(others.filter((row) => row !== undefined)));
    }),
  );
}

function networkRows({ networks }: GpuReport, { network, work, n }: NetworkWork) {
  const rows = networks.filter(
    (row) => row.network === network && row.work === work && row.n === n && row.precision === 'bfloat16',
  );
  return { ours: rows.filter(isOurs), theirs: rows.filter((row) => !isOurs(row)) };
}
const leastSeconds = (rows: readonly NetworkRow[]) => fastest(rows)?.seconds ?? Number.NaN;

function measuredOf(goal: Goal, report: GpuReport): number {
  if ('network' in goal) {
    const { ours, theirs } = networkRows(report, goal);
    if (goal.kind === 'images/s') return goal.n / leastSeconds(ours);
    return goal.kind === 'milliseconds'
      ? leastSeconds(ours) * 1000
      : leastSeconds(theirs) / leastSeconds(ours);
  }
  const lines = linesOf(report.kernels, goal.set, goal.pass);
  if (!lines) return Number.NaN;
  if (goal.kind === 'milliseconds of layers') return secondsOf(lines) * 1000;
  if (goal.kind === 'times as fast') return meanRatio(lines, goal.as);
  const bytes = lines.reduce((sum, { ours }) => sum + (ours?.bytes ?? Number.NaN), 0);
  return (100 * bytes) / secondsOf(lines) / ((report.bandwidthGigabytes ?? Number.NaN) * 1e9);
}

/** Of those whom a goal wants beaten by name: who has been measured, and who has not, each as a sentence says it. */
interface Rivals {
  measured: string[];
  missing: string[];
}

/** PyTorch's best is the better of what runs without its compiler and of what that makes of it. */
function networkRivals(goal: NetworkWork, report: GpuReport): Rivals {
  const { theirs } = networkRows(report, goal);
  const has = (by: string) => theirs.some((row) => row.by === by && row.seconds !== undefined);
  const plain = [torchModes.eager, torchModes.captured].filter(has);
  const missing = [...(plain.length > 0 ? [] : [torchModes.eager]), torchModes.compile].filter(
    (by) => !has(by),
  );
  const measured = [...plain, torchModes.compile].filter(has);
  return { measured, missing: missing.map((by) => `${by} not measured`) };
}

function layerRivals(lines: readonly KernelLine[]): Rivals {
  const rivals: Rivals = { measured: [], missing: [] };
  for (const [name, by] of [['cuDNN', 'cudnn'] as const, ['PyTorch', 'torch'] as const]) {
    const count = lines.filter((line) => line[by]).length;
    if (count > 0) rivals.measured.push(name);
    if (count === 0) rivals.missing.push(`${name} not measured`);
    else if (count < lines.length) rivals.missing.push(`${name} not measured everywhere`);
  }
  return rivals;
}

function rivalsOf(goal: Goal, report: GpuReport): Rivals {
  if (goal.kind === "times PyTorch's best") return networkRivals(goal, report);
  if (goal.kind === 'times as fast' && goal.as === 'cuDNN or PyTorch')
    return layerRivals(linesOf(report.kernels, goal.set, goal.pass) ?? []);
  return { measured: [], missing: [] }; // its number alone decides
}

export function verdicts(report: GpuReport): Verdict[] {
  return goals.map((goal) => {
    const measured = measuredOf(goal, report);
    const what = whatOf(goal);
    if (!Number.isFinite(measured)) return { goal, what, measured, verdict: 'not measured' };
    const reached = isAtMost(goal) ? measured <= goal.target : measured >= goal.target;
    if (!reached) return { goal, what, measured, verdict: 'short' }; // whoever is missing
    const { measured: beaten, missing } = rivalsOf(goal, report);
    if (missing.length === 0) return { goal, what, measured, verdict: 'met' };
    const note = `met against ${beaten.join(', ')}; ${missing.join(', ')}`;
    return { goal, what, measured, verdict: 'open', note };
  });
}
