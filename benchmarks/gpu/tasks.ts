/** Everything that gpu:check measures, a row a task, in the order in which it should be. */
import { type Device, setAutotune } from '../../lib/index.js';
import { goalLayers, goalNetworks, layerCases, otherLayers, otherNetworks } from './cases.js';
import {
  type KernelCase,
  torchRequest as kernelRequest,
  measureSolver,
  solversOf,
  workOf,
} from './kernels.js';
import { measureNetwork, type NetworkCase, torchRequest as networkRequest } from './networks.js';
import type { TorchPeer } from './peer.js';
import { answerSeconds, efforts, lastPhase, type Phase, tuningSeconds } from './plan.js';
import {
  type KernelIdentity,
  type KernelRow,
  type NetworkIdentity,
  type NetworkRow,
  type TorchMode,
  torchModes,
} from './rows.js';
import type { Effort } from './timing.js';

/** Where rows are measured; without PyTorch, none of its are. */
export interface Bench {
  device: Device;
  torch: TorchPeer | null;
}

/** What a task may take: its phase's seconds, and those of all that is left of the measurements. */
export interface Left {
  phase: number;
  all: number;
}

export type Task = {
  phase: Phase;
  /** Seconds that it takes at least: with fewer in its phase it doesn't begin. */
  least: number;
} & (
  | {
      kind: 'kernels';
      identity: KernelIdentity & Pick<KernelRow, 'bytes' | 'flops'>;
      measure: (left: Left) => Promise<Partial<KernelRow> | null>;
    }
  | {
      kind: 'networks';
      identity: NetworkIdentity;
      measure: (left: Left) => Promise<Partial<NetworkRow> | null>;
    }
);

/** How a layer is measured: cuDNN and PyTorch choose among their engines by measuring them, or untuned. */
interface Way {
  phase: Phase;
  effort: Effort;
  untuned?: boolean;
}

/** Each of the library's solvers on each case, and PyTorch. */
function layerTasks(
  cases: readonly KernelCase[],
  { device, torch }: Bench,
  { phase, effort, untuned = false }: Way,
): Task[] {
  const mark = untuned ? { untuned } : {};
  return cases.flatMap((work): Task[] => {
    const { layer, ...rest } = work;
    const task = (by: string, measure: () => Promise<Partial<KernelRow> | null>): Task => ({
      ...{ phase, least: untuned ? 0.5 : 2, kind: 'kernels' },
      identity: { layer: layer.name, ...rest, ...workOf(work), by },
      measure: async () => {
        const measured = await measure();
        return measured && { ...measured, ...mark };
      },
    });
    const ours = solversOf(device).map((by) =>
      task(by, () => {
        setAutotune(!untuned);
        return measureSolver(work, by, device, effort);
      }),
    );
    if (!torch) return ours;
    const request = kernelRequest(work, effort, untuned);
    return [...ours, task('PyTorch', () => torch.measure(request, answerSeconds.kernel))];
  });
}

function networkTask(
  { network, work, n, precision }: NetworkCase,
  by: string,
  rest: Pick<Task, 'phase' | 'least'> & {
    measure: (left: Left) => Promise<Partial<NetworkRow> | null>;
  },
): Task {
  return { kind: 'networks', identity: { network: network.name, work, n, precision, by }, ...rest };
}

/** Seconds for a network of ours, without its tuning. */
const measuring = 3;

function oursTask(work: NetworkCase, { device }: Bench, phase: Phase, tuned = false): Task {
  const by = `groupconv${work.captured ? ', captured' : ''}${tuned ? ', autotuned' : ''}`;
  return networkTask(work, by, {
    phase,
    least: tuned ? 6 : measuring,
    measure: (left) => {
      setAutotune(false);
      const tuning = tuned ? Math.min(left.phase - measuring, tuningSeconds) : 0;
      return measureNetwork(work, device, efforts.networks, tuning);
    },
  });
}

function torchTasks(work: NetworkCase, { torch }: Bench, mode: TorchMode, phase: Phase): Task[] {
  if (!torch) return [];
  const request = networkRequest(work, mode, efforts.networks);
  const measure = (left: Left) =>
    mode === 'compile'
      ? torch.measure(request, Math.min(left.phase, answerSeconds.compile))
      : torch.measure(request, Math.min(left.all, answerSeconds.network));
  return [networkTask(work, torchModes[mode], { phase, least: 5, measure })];
}

/** Us, and PyTorch without its compiler. */
function networkTasks(works: readonly NetworkCase[], bench: Bench, phase: Phase): Task[] {
  return works.flatMap((work) => [
    oursTask(work, bench, phase),
    ...torchTasks(work, bench, 'eager', phase),
    ...(work.captured ? torchTasks(work, bench, 'captured', phase) : []),
  ]);
}

/** Training last: its compilation takes longest. */
const quickestFirst = (works: readonly NetworkCase[]) => [
  ...works.filter(({ work }) => work === 'inference'),
  ...works.filter(({ work }) => work === 'training'),
];

export function allTasks(bench: Bench): Task[] {
  const [goals, others] = [goalNetworks(), otherNetworks()];
  const tuned = [...goals, ...others.filter(({ network }) => network.name === goals[0]?.network.name)];
  const thoroughly = { effort: efforts['goal layers'] };
  return [
    ...layerTasks(goalLayers(), bench, { phase: 'goal layers', ...thoroughly }),
    ...networkTasks(goals, bench, 'networks'),
    ...tuned.map((work) => oursTask(work, bench, 'autotuned networks', true)),
    ...quickestFirst(goals).flatMap((work) => torchTasks(work, bench, 'compile', 'torch.compile')),
    // What was too late in its own phase; it is measured once.
    ...layerTasks(goalLayers(), bench, { phase: 'other layers', ...thoroughly }),
    ...layerTasks(otherLayers(), bench, {
      ...{ phase: 'other layers', effort: efforts['other layers'], untuned: true },
    }),
    ...others.map((work) => oursTask(work, bench, 'other networks')),
    ...networkTasks(others, bench, 'other networks'),
  ];
}

/** The layers of one file at batch 1, as quickly as can be. */
export function shapesTasks(file: string, bench: Bench): Task[] {
  const cases = (['bfloat16', 'tf32', 'float32'] as const).flatMap((precision) =>
    layerCases([file], 1, precision),
  );
  return layerTasks(cases, bench, { phase: lastPhase, effort: efforts.shapes });
}
