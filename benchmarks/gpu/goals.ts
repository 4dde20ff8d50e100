/** What the CUDA backend is meant to reach on an H100, and what a report says of it. All in bfloat16. */
import { fastest, geometricMean, type KernelLine, kernelLines, ratio } from './lines.js';
import type { GpuReport } from './report.js';
import { isOurs, type KernelRow, type NetworkRow, type Pass } from './rows.js';

/** How often a network has each of its layers of shapes/*.txt. */
export const layerSets = {
  grouped: {
    title: '16 grouped layers of ResNeXt-50',
    times: {
      ...{ conv2_3x3: 3, conv3_3x3_s2: 1, conv3_3x3: 3, conv4_3x3_s2: 1, conv4_3x3: 5 },
      ...{ conv5_3x3_s2: 1, conv5_3x3: 2 },
    },
  },
  depthwise: {
    title: '13 depthwise layers of MobileNet',
    times: {
      ...{ dw1: 1, dw2_s2: 1, dw3: 1, dw4_s2: 1, dw5: 1, dw6_s2: 1, dw7: 5, dw12_s2: 1, dw13: 1 },
    },
  },
} as const satisfies Record<string, { title: string; times: Record<string, number> }>;
export type LayerSet = keyof typeof layerSets;

/** Whom a ratio is taken to: the best of cuDNN's engines, PyTorch, or the better of them. */
type Other = 'cuDNN' | 'PyTorch' | 'cuDNN or PyTorch';
type Network = Pick<NetworkRow, 'network' | 'work' | 'n'>;

export type Goal = { target: number } & (
  | { kind: 'milliseconds of layers'; set: LayerSet; pass: Pass }
  | { kind: 'times as fast'; set: LayerSet; pass: Pass; as: Other }
  | { kind: '% of bandwidth'; set: LayerSet; pass: Pass }
  | ({ kind: 'images/s' } & Network)
  | ({ kind: 'milliseconds' } & Network)
  | ({ kind: "times PyTorch's best" } & Network)
);

const inference = (n: number): Network => ({ network: 'resnext50_32x4d', work: 'inference', n });
const training = (n: number): Network => ({ network: 'resnext50_32x4d', work: 'training', n });
const [grouped, depthwise] = [{ set: 'grouped' }, { set: 'depthwise' }] as const;

/** The issue's goals, the sums of the grouped layers first. */
export const goals: readonly Goal[] = [
  { kind: 'milliseconds of layers', ...grouped, pass: 'forward', target: 1.5 },
  { kind: 'milliseconds of layers', ...grouped, pass: 'gradInput', target: 1.6 },
  { kind: 'milliseconds of layers', ...grouped, pass: 'gradWeight', target: 1.9 },
  { kind: 'times as fast', ...grouped, pass: 'forward', as: 'cuDNN', target: 2 },
  { kind: 'times as fast', ...grouped, pass: 'gradInput', as: 'cuDNN', target: 1.5 },
  { kind: 'times as fast', ...grouped, pass: 'gradWeight', as: 'cuDNN', target: 1.5 },
  { kind: 'times as fast', ...grouped, pass: 'forward', as: 'PyTorch', target: 1 },
  { kind: 'times as fast', ...grouped, pass: 'gradInput', as: 'PyTorch', target: 1 },
  { kind: 'times as fast', ...grouped, pass: 'gradWeight', as: 'PyTorch', target: 1 },
  { kind: '% of bandwidth', ...depthwise, pass: 'forward', target: 80 },
  { kind: '% of bandwidth', ...depthwise, pass: 'gradInput', target: 80 },
  { kind: '% of bandwidth', ...depthwise, pass: 'gradWeight', target: 80 },
  { kind: 'times as fast', ...depthwise, pass: 'forward', as: 'cuDNN or PyTorch', target: 1.3 },
  { kind: 'times as fast', ...depthwise, pass: 'gradInput', as: 'cuDNN or PyTorch', target: 1.3 },
  { kind: 'times as fast', ...depthwise, pass: 'gradWeight', as: 'cuDNN or PyTorch', target: 1.3 },
  { kind: 'images/s', ...inference(256), target: 25000 },
  { kind: 'milliseconds', ...inference(1), target: 0.45 },
  { kind: 'images/s', ...training(256), target: 4400 },
  { kind: "times PyTorch's best", ...inference(256), target: 1 },
  { kind: "times PyTorch's best", ...inference(1), target: 1 },
  { kind: "times PyTorch's best", ...training(256), target: 1 },
];

export interface Verdict {
  goal: Goal;
  /** What the goal is about, in words. */
  what: string;
  /** NaN where rows are missing. */
  measured: number;
  verdict: 'met' | 'short' | 'not measured';
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

function networkRows({ networks }: GpuReport, { network, work, n }: Network) {
  const rows = networks.filter(
    (row) => row.network === network && row.work === work && row.n === n && row.precision === 'bfloat16',
  );
  const seconds = (of: NetworkRow[]) => fastest(of)?.seconds ?? Number.NaN;
  return { ours: seconds(rows.filter(isOurs)), theirs: seconds(rows.filter((row) => !isOurs(row))) };
}

function measuredOf(goal: Goal, report: GpuReport): number {
  if ('network' in goal) {
    const { ours, theirs } = networkRows(report, goal);
    if (goal.kind === 'images/s') return goal.n / ours;
    return goal.kind === 'milliseconds' ? ours * 1000 : theirs / ours;
  }
  const lines = linesOf(report.kernels, goal.set, goal.pass);
  if (!lines) return Number.NaN;
  if (goal.kind === 'milliseconds of layers') return secondsOf(lines) * 1000;
  if (goal.kind === 'times as fast') return meanRatio(lines, goal.as);
  const bytes = lines.reduce((sum, { ours }) => sum + (ours?.bytes ?? Number.NaN), 0);
  return (100 * bytes) / secondsOf(lines) / ((report.bandwidthGigabytes ?? Number.NaN) * 1e9);
}

function whatOf(goal: Goal): string {
  if ('network' in goal) return `${goal.network} ${goal.work}, batch ${goal.n}`;
  return `${layerSets[goal.set].title}, batch 256, ${goal.pass}`;
}

const isAtMost = ({ kind }: Goal) => kind.startsWith('milliseconds');

export function verdicts(report: GpuReport): Verdict[] {
  return goals.map((goal) => {
    const measured = measuredOf(goal, report);
    const reached = isAtMost(goal) ? measured <= goal.target : measured >= goal.target;
    const verdict = Number.isFinite(measured) ? (reached ? 'met' : 'short') : 'not measured';
    return { goal, what: whatOf(goal), measured, verdict };
  });
}

/** "at most 1.5 ms", "at least 2 x cuDNN". */
export function targetOf(goal: Goal): string {
  const words = isAtMost(goal) ? 'at most' : 'at least';
  return `${words} ${goal.target}${unitOf(goal)}`;
}
export function unitOf(goal: Goal): string {
  if (goal.kind === 'times as fast') return ` x ${goal.as}`;
  if (goal.kind === "times PyTorch's best") return " x PyTorch's best";
  return isAtMost(goal) ? ' ms' : goal.kind === 'images/s' ? ' images/s' : ' % of bandwidth';
}
