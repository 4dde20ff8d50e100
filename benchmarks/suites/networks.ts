/** Whole networks: inference, a training step, and ResNeXt-50 with more and more branches at equal complexity. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { networkChart, sweepChart } from '../charts.js';
import { type Contender, contendersFor, exporter } from '../contenders.js';
import { contest, enter, leave, type Result } from '../contest.js';
import { type Network, networkMultiplyAdds, networkWork, readNetworks } from '../networks.js';
import type { Options } from '../options.js';
import { Peer } from '../peer.js';
import type { NetworkWork } from '../peers/protocol.js';
import { startProgress } from '../progress.js';
import { missingOf, type Report, versionsOf } from '../report.js';
import { type Column, formatMarkdown, formatTable } from '../table.js';

export interface NetworkRow extends Result {
  network: string;
  cardinality: number;
  width: number;
  work: NetworkWork['work'];
  batch: number;
  imagesPerSecond: number;
}

const milliseconds = (row: NetworkRow, seconds: number) => (row.failure ? null : (seconds * 1e3).toFixed(1));
const columns: Column<NetworkRow>[] = [
  { title: 'network', cell: ({ network }) => network },
  { title: 'work', cell: ({ work }) => work },
  { title: 'batch', cell: ({ batch }) => batch },
  { title: 'by', cell: ({ contender }) => contender },
  { title: 'min ms', cell: (row) => milliseconds(row, row.min) },
  { title: 'median ms', cell: (row) => milliseconds(row, row.median) },
  { title: 'images/s', cell: (row) => (row.failure ? null : row.imagesPerSecond.toFixed(1)) },
  { title: '% of peak', cell: (row) => (row.failure ? null : row.percentOfPeak.toFixed(1)) },
  {
    title: 'groupconv is',
    cell: (row) => (row.failure || row.contender === 'groupconv' ? null : `${row.ratio.toFixed(2)} x`),
  },
  { title: 'resident MB', cell: ({ residentBytes }) => residentBytes && (residentBytes / 1e6).toFixed(0) },
  { title: 'note', cell: ({ failure, noise }) => failure ?? (noise && `noisy: ${noise}`) },
];

interface Plan {
  title: string;
  networks: Network[];
  works: NetworkWork['work'][];
  batches: number[];
  chart: (rows: NetworkRow[]) => Report['chart'];
}

/** Writes the network's ONNX file, for contenders that read one. */
async function exportNetwork(work: NetworkWork): Promise<void> {
  const peer = new Peer(exporter);
  try {
    await peer.ask({ command: 'export', variant: '', ...work });
  } finally {
    peer.close();
  }
}

async function measurePlan(plan: Plan, options: Options): Promise<Report> {
  const { threads } = options;
  const folder = mkdtempSync(join(tmpdir(), 'groupconv-bench-'));
  const rows: NetworkRow[] = [];
  const versions: Record<string, string> = {};
  const everyone: Contender[] = [];
  const measure = async (network: Network, kind: NetworkWork['work'], batch: number) => {
    const [ours, ...others] = contendersFor(kind, options.peers) as [Contender, ...Contender[]];
    const contenders = [ours, ...others.filter(({ name }) => options.contenders.test(name))];
    const work = networkWork(network, kind, batch, folder);
    if (contenders.some(({ name, program }) => program && name === 'onnxruntime-node'))
      await exportNetwork(work);
    // Fresh processes: the most memory that each of them ever had is then this work's.
    const entrants = await enter(contenders, threads);
    try {
      const flop = 2 * networkMultiplyAdds(network, batch) * (kind === 'training' ? 3 : 1);
      const results = await contest(entrants, work, {
        threads,
        flop,
        rounds: options.rounds ?? 5,
        retries: options.retries ?? 0,
        seconds: options.seconds ?? (kind === 'training' ? 1 : 0.5),
        // Losses of three steps: rounding grows from step to step.
        tolerance: kind === 'training' ? 1e-2 : 1e-4,
      });
      const { name, cardinality, width } = network;
      for (const result of results)
        rows.push({
          network: name,
          cardinality,
          width,
          work: kind,
          batch,
          ...result,
          imagesPerSecond: batch / result.min,
        });
    } finally {
      leave(entrants);
    }
    Object.assign(versions, versionsOf(entrants));
    everyone.push(...contenders);
  };
  const progress = startProgress(plan.networks.length * plan.works.length * plan.batches.length);
  try {
    for (const network of plan.networks)
      for (const kind of plan.works)
        for (const batch of plan.batches) {
          progress.next(`${network.name} ${kind}, batch ${batch}`);
          await measure(network, kind, batch);
        }
  } finally {
    progress.stop();
    rmSync(folder, { recursive: true });
  }
  return {
    title: plan.title,
    table: { text: formatTable(columns, rows), markdown: formatMarkdown(columns, rows) },
    rows,
    chart: plan.chart(rows),
    versions,
    missing: missingOf(everyone),
  };
}

const selected = (options: Options, networks: Network[]) =>
  networks.filter(({ name }) => options.filter.test(name));
/** Those that one waits for without being asked to: the others have to be named by --filter. */
const usual = (options: Options) =>
  selected(options, readNetworks()).filter(
    ({ name }) => options.filter.source !== '(?:)' || ['resnext50_32x4d', 'mobilenet_v1'].includes(name),
  );

export function measureInference(options: Options): Promise<Report> {
  const plan: Plan = {
    title: 'inference at 224 x 224, float32, random weights and images',
    networks: usual(options),
    works: ['inference'],
    batches: options.batches ?? [1, 8],
    chart: networkChart,
  };
  return measurePlan(plan, options);
}

export function measureTraining(options: Options): Promise<Report> {
  const plan: Plan = {
    title: 'training step at 224 x 224: forward, backward, SGD with momentum; float32',
    networks: usual(options),
    works: ['training'],
    batches: options.batches ?? [8],
    chart: networkChart,
  };
  return measurePlan(plan, options);
}

/** Table 2 of the ResNeXt paper: 1 x 64d to 32 x 4d. */
export function measureSweep(options: Options): Promise<Report> {
  const networks = readNetworks().filter(({ blocks }) => blocks.join() === '3,4,6,3');
  const plan: Plan = {
    title: 'ResNeXt-50 at equal complexity, cardinality x width, 224 x 224, float32',
    networks: selected(options, networks).sort((a, b) => a.cardinality - b.cardinality),
    works: (['inference', 'training'] as const).filter((work) => work.includes(options.only)),
    batches: options.batches ?? [8],
    chart: sweepChart,
  };
  return measurePlan(plan, options);
}
