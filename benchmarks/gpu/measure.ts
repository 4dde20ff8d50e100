/**
 * The measurements of gpu:check, row by row into the report of a folder; rows that stand there already are not measured
 * again. Ends with 3 where there is no device, with 4 where the device has failed: what comes then needs a new process.
 */
import { parseArgs } from 'node:util';
import { type Device, devices, setAutotune, setDeterministic } from '../../lib/index.js';
import { readNetworks } from '../networks.js';
import { readShapes } from '../shapes.js';
import { goals } from './goals.js';
import {
  isGrouped,
  type KernelCase,
  torchRequest as kernelRequest,
  measureSolver,
  solversOf,
  workOf,
} from './kernels.js';
import { BrokenDevice, Ledger } from './ledger.js';
import { measureNetwork, type NetworkCase, torchRequest as networkRequest } from './networks.js';
import { measureCopy, measureMatrixRates } from './peaks.js';
import { TorchPeer } from './peer.js';
import { answerSeconds, type Phase, phases } from './plan.js';
import { type NetworkIdentity, type Precision, passes, type TorchMode, torchModes } from './rows.js';
import { withPulse } from './tuning.js';

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seconds: { type: 'string', default: '240' },
    /** When the first process began, in milliseconds: the time is that of all of them. */
    began: { type: 'string', default: String(Date.now()) },
    ended: { type: 'string' },
    /** These layers at batch 1, quickly, and nothing else. */
    shapes: { type: 'string' },
  },
});
const { shapes } = options;
const device: Device = 'cuda:0';
const found = devices().find((each) => each.device === device);
if (!found?.available) {
  console.log(`no CUDA device: ${devices().find((each) => each.device.startsWith('cuda'))?.reason}`);
  process.exit(3);
}
const ledger = new Ledger(positionals[0] ?? '.', options.ended);
const { report } = ledger;
const torch = new TorchPeer();
const effort = shapes ? { seconds: 0.001, samples: 1 } : { seconds: 0.06, samples: 5 };
const networkEffort = { seconds: 0.6, samples: 5 };

/** Seconds until a phase has to end. */
function left(phase: Phase): number {
  const passed = (Date.now() - Number(options.began)) / 1000;
  return Number(options.seconds) * phases[phase] - passed;
}

/** Rows do without them. */
async function measurePeaks(): Promise<void> {
  if (report.absent.includes('peaks')) return; // measured, or died of
  report.absent.push('peaks');
  ledger.save();
  try {
    report.bandwidthGigabytes = (await measureCopy(shapes ? 1 << 12 : 1 << 28, device, effort)) / 1e9;
    ledger.save();
    setAutotune(true);
    report.matrix = await measureMatrixRates(shapes ? 16 : 8192, device, torch, effort, answerSeconds.kernel);
  } catch (error) {
    const { code, message } = error as Error & { code?: string };
    if (code === 'DEVICE_FAILURE') throw new BrokenDevice(`peaks: ${message}`);
    console.log(`peaks: ${message}`);
  }
  ledger.save();
}

/** One case by each of the library's solvers, and by PyTorch. */
async function measureKernel(work: KernelCase, phase: Phase): Promise<void> {
  const { layer, ...rest } = work;
  const identity = { layer: layer.name, ...rest, ...workOf(work) };
  for (const by of solversOf(device)) {
    if (left(phase) <= 0) return;
    await ledger.row('kernels', { ...identity, by }, () => measureSolver(work, by, device, effort));
  }
  if (report.torch && left(phase) > 0)
    await ledger.row('kernels', { ...identity, by: 'PyTorch' }, () =>
      torch.measure(kernelRequest(work, effort), answerSeconds.kernel),
    );
}

function layersOf(names: readonly string[], batch: number, precision: Precision): KernelCase[] {
  const layers = names.flatMap(readShapes).filter(isGrouped);
  return layers.flatMap((layer) => passes.map((pass) => ({ layer, batch, precision, pass })));
}

async function measureKernels(cases: readonly KernelCase[], phase: Phase): Promise<void> {
  setAutotune(true);
  for (const work of cases) await measureKernel(work, phase);
}

function networkCases(): NetworkCase[] {
  const works = [
    ['inference', 256, false],
    ['training', 256, false],
    ['inference', 1, true],
    ['inference', 32, false],
    ['training', 32, true],
  ] as const;
  const known = readNetworks();
  return ['resnext50_32x4d', 'mobilenet_v1'].flatMap((name) => {
    const network = known.find((each) => each.name === name);
    if (!network) throw new Error(`networks.txt lacks ${name}`);
    return works.map(([work, n, captured]) => ({
      network,
      work,
      n,
      captured,
      precision: 'bfloat16' as const,
    }));
  });
}

const identityOf = ({ network, work, n, precision }: NetworkCase, by: string): NetworkIdentity => ({
  ...{ network: network.name, work, n, precision, by },
});

/** @param tuning seconds for autotuning; 0 for none */
async function measureOurs(work: NetworkCase, tuning = 0): Promise<void> {
  setAutotune(false);
  const by = `groupconv${work.captured ? ', captured' : ''}${tuning ? ', autotuned' : ''}`;
  await ledger.row('networks', identityOf(work, by), () =>
    measureNetwork(work, device, networkEffort, tuning),
  );
}

async function measureTorch(work: NetworkCase, mode: TorchMode, limit: number): Promise<void> {
  if (!report.torch) return;
  await ledger.row('networks', identityOf(work, torchModes[mode]), () =>
    withPulse(torchModes[mode], () => torch.measure(networkRequest(work, mode, networkEffort), limit)),
  );
}

async function measureNetworks(): Promise<void> {
  for (const work of networkCases()) {
    for (const run of [
      () => measureOurs(work),
      () => measureTorch(work, 'eager', answerSeconds.network),
      () => (work.captured ? measureTorch(work, 'captured', answerSeconds.network) : undefined),
    ])
      if (left('networks') > 0) await run();
  }
}

/** Those that a goal is about first. */
function goalsFirst(cases: readonly NetworkCase[]): NetworkCase[] {
  const isGoal = ({ network, work, n }: NetworkCase) =>
    goals.some(
      (goal) => 'network' in goal && goal.network === network.name && goal.work === work && goal.n === n,
    );
  return [...cases.filter(isGoal), ...cases.filter((work) => !isGoal(work))];
}

async function everything(): Promise<void> {
  report.device = { ...found };
  report.torch = await withPulse('starting PyTorch', () => torch.version());
  setDeterministic(false); // as PyTorch: all of cuDNN's engines
  await measurePeaks();
  if (shapes) {
    const cases = (['bfloat16', 'tf32', 'float32'] as const).flatMap((precision) =>
      layersOf([shapes], 1, precision),
    );
    return measureKernels(cases, 'torch.compile');
  }
  const sets = ['resnext50_32x4d', 'mobilenet_v1'];
  await measureKernels(layersOf(sets, 256, 'bfloat16'), 'goal layers');
  await measureNetworks();
  for (const [index, work] of goalsFirst(networkCases()).entries()) {
    const share = left('autotuned networks') / Math.max(1, 3 - index); // three are a goal's
    if (share > 3) await measureOurs(work, share);
  }
  const others = [
    [32, 'bfloat16'],
    [256, 'tf32'],
    [256, 'float32'],
    [32, 'tf32'],
    [32, 'float32'],
  ] as const;
  // What was too late for its own phase comes first.
  const all = [[256, 'bfloat16'] as const, ...others];
  await measureKernels(
    all.flatMap(([batch, precision]) => layersOf(sets, batch, precision)),
    'other layers',
  );
  for (const work of goalsFirst(networkCases())) {
    const limit = Math.min(left('torch.compile'), answerSeconds.compile);
    if (limit > 5) await measureTorch(work, 'compile', limit);
  }
}

try {
  await everything();
} catch (error) {
  console.log(`${(error as Error).message}`);
  process.exitCode = error instanceof BrokenDevice ? 4 : 1;
} finally {
  torch.close();
  ledger.save();
}
process.exit(); // whatever a device that has failed still holds
