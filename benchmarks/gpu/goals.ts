/** What the CUDA backend is meant to reach on an H100. All in bfloat16. */
import type { NetworkRow, Pass } from './rows.js';

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
export type Other = 'cuDNN' | 'PyTorch' | 'cuDNN or PyTorch';
export type NetworkWork = Pick<NetworkRow, 'network' | 'work' | 'n'>;

export type Goal = { target: number } & (
  | { kind: 'milliseconds of layers'; set: LayerSet; pass: Pass }
  | { kind: 'times as fast'; set: LayerSet; pass: Pass; as: Other }
  | { kind: '% of bandwidth'; set: LayerSet; pass: Pass }
  | ({ kind: 'images/s' } & NetworkWork)
  | ({ kind: 'milliseconds' } & NetworkWork)
  | ({ kind: "times PyTorch's best" } & NetworkWork)
);

const inference = (n: number): NetworkWork => ({ network: 'resnext50_32x4d', work: 'inference', n });
const training = (n: number): NetworkWork => ({ network: 'resnext50_32x4d', work: 'training', n });
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

/** What a goal is about, in words. */
export function whatOf(goal: Goal): string {
  if ('network' in goal) return `${goal.network} ${goal.work}, batch ${goal.n}`;
  return `${layerSets[goal.set].title}, batch 256, ${goal.pass}`;
}

export const isAtMost = ({ kind }: Goal) => kind.startsWith('milliseconds');

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
