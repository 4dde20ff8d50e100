/** The measurements of gpu:check: measure.ts <folder> [seconds] [shapes]. Writes report.json, report.md and report.svg. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Device, devices, linear, randn, scope } from '../../lib/index.js';
import { type Network, readNetworks } from '../networks.js';
import { type Layer, readShapes } from '../shapes.js';
import { toSvg } from '../svg.js';
import {
  type FloatType,
  isGrouped,
  type KernelCase,
  type KernelRow,
  measureKernel,
  passes,
} from './kernels.js';
import { measureNetwork, type NetworkCase } from './networks.js';
import { openTorch } from './peer.js';
import { type GpuReport, goals, networkChart, networkTable, toMarkdown } from './report.js';
import { timeOnDevice } from './timing.js';

const [folder = '.', seconds = '240', quick] = process.argv.slice(2);
const deadline = Date.now() + Number(seconds) * 1000;
const device: Device = 'cuda:0';
const found = devices().find((each) => each.device === device);
if (!found?.available) {
  console.log(`no CUDA device: ${devices().find((each) => each.device.startsWith('cuda'))?.reason}`);
  process.exit(3);
}
const stepsFile = join(folder, 'steps.json');
const torch = openTorch();

/** Bytes read plus written a second, of a copy that no cache holds. */
async function bandwidth(elements: number): Promise<number> {
  const source = randn([elements], { device });
  const { min } = await timeOnDevice(device, () => source.clone());
  source.dispose();
  return (8 * elements) / min;
}

async function matrixRate(extent: number): Promise<number> {
  const x = scope(() => randn([extent, extent], { device }).to('bfloat16'));
  const weight = randn([extent, extent], { device });
  const { min } = await timeOnDevice(device, () => linear(x as never, weight));
  x.dispose();
  weight.dispose();
  return (2 * extent ** 3) / min;
}

const [elements, extent] = quick ? [1 << 12, 16] : [1 << 28, 8192];
const report: GpuReport = {
  device: { ...found },
  torch: torch?.version ?? null,
  bandwidthGigabytes: (await bandwidth(elements)) / 1e9,
  matrixTeraflops: (await matrixRate(extent)) / 1e12,
  steps: existsSync(stepsFile) ? JSON.parse(readFileSync(stepsFile, 'utf8')) : [],
  kernels: [],
  networks: [],
};
const late = (share: number) => Date.now() > deadline - (1 - share) * Number(seconds) * 1000;
const effort = { seconds: quick ? 0.001 : 0.1, samples: quick ? 1 : 5 };

/** The important ones first: what comes too late is left out. */
function kernelCases(): { layer: Layer; batch: number; dtype: FloatType }[] {
  const layers = (quick ? [quick] : ['resnext50_32x4d', 'mobilenet_v1'])
    .flatMap(readShapes)
    .filter(isGrouped);
  const sizes = quick
    ? ([
        [1, 'bfloat16'],
        [1, 'float32'],
      ] as const)
    : ([
        [256, 'bfloat16'],
        [32, 'bfloat16'],
        [32, 'float32'],
        [256, 'float32'],
      ] as const);
  return sizes.flatMap(([batch, dtype]) => layers.map((layer) => ({ layer, batch, dtype })));
}

function networkCases(): NetworkCase[] {
  const networks = readNetworks().filter(({ name }) => ['resnext50_32x4d', 'mobilenet_v1'].includes(name));
  const case_ = (network: Network, work: NetworkCase['work'], n: number, captured = false): NetworkCase => ({
    network,
    work,
    n,
    dtype: 'bfloat16',
    captured,
  });
  if (quick) return [];
  return networks.flatMap((network) => [
    case_(network, 'inference', 256),
    case_(network, 'training', 256),
    case_(network, 'inference', 1, true),
    case_(network, 'inference', 32),
    case_(network, 'training', 32, true),
  ]);
}

/** One case by everybody; where it fails as a whole, as for want of memory, the row says so. */
async function kernelRows(work: KernelCase): Promise<KernelRow[]> {
  try {
    return await measureKernel(work, device, report.bandwidthGigabytes * 1e9, torch, effort);
  } catch (error) {
    const nothing = { seconds: Number.NaN, ofBandwidth: Number.NaN, teraflops: Number.NaN };
    const failure = (error as Error).message;
    return [{ ...work, layer: work.layer.name, by: 'chosen', chosen: true, ...nothing, failure }];
  }
}

/** What there is so far: a run that is stopped leaves its report, too. */
function save(): void {
  writeFileSync(join(folder, 'report.json'), `${JSON.stringify(report, null, 1)}\n`);
  writeFileSync(join(folder, 'report.md'), toMarkdown(report));
}

// Networks get the first half of the time: kernels have many rows, of which the last are the least important.
for (const work of networkCases()) {
  if (late(0.5)) break;
  report.networks.push(...(await measureNetwork(work, device, torch, { seconds: 1, samples: 5 })));
  save();
}
writeFileSync(join(folder, 'report.svg'), `${await toSvg(networkChart(report.networks))}\n`);
for (const { layer, batch, dtype } of kernelCases()) {
  if (late(0.95)) break;
  for (const pass of passes) report.kernels.push(...(await kernelRows({ layer, batch, dtype, pass })));
  save();
}
torch?.close();
save();
console.log(`${networkTable(report.networks)}\n\n${goals(report.kernels).join('\n')}`);
