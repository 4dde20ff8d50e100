import type { TopLevelSpec } from 'vega-lite';
import { speedChart } from '../charts.js';
import { formatMarkdown } from '../table.js';
import type { KernelRow } from './kernels.js';
import type { NetworkRow } from './networks.js';

/** A step of the check: what it ran, and whether it went well. */
export interface Step {
  name: string;
  /** passed, failed, or why it was left out. */
  outcome: string;
  seconds: number;
  /** The end of its output. */
  tail?: string;
}

export interface GpuReport {
  device: Record<string, unknown>;
  torch: string | null;
  /** Measured beside the rows: bytes read plus written a second, and multiply-adds of a large bf16 product. */
  bandwidthGigabytes: number;
  matrixTeraflops: number;
  steps: Step[];
  kernels: KernelRow[];
  networks: NetworkRow[];
}

const fixed = (value: number | undefined, digits: number) =>
  value === undefined || !Number.isFinite(value) ? '' : value.toFixed(digits);

/** One line a case: our choice, the best of cuDNN's, PyTorch's, and what part of the floor of traffic ours is. */
interface KernelLine {
  layer: string;
  batch: number;
  dtype: string;
  pass: string;
  chosen: KernelRow | undefined;
  own: KernelRow | undefined;
  cudnn: KernelRow | undefined;
  torch: KernelRow | undefined;
}

const isCudnn = ({ by }: KernelRow) => by.startsWith('cudnn');
const isOwn = (row: KernelRow) => !row.chosen && row.by !== 'PyTorch' && !isCudnn(row);

function fastest(rows: readonly KernelRow[]): KernelRow | undefined {
  return rows
    .filter(({ seconds }) => Number.isFinite(seconds))
    .reduce<KernelRow | undefined>(
      (best, row) => (best && best.seconds <= row.seconds ? best : row),
      undefined,
    );
}

export function kernelLines(rows: readonly KernelRow[]): KernelLine[] {
  const cases = new Map<string, KernelRow[]>();
  for (const row of rows) cases.set(keyOf(row), [...(cases.get(keyOf(row)) ?? []), row]);
  return [...cases.values()].map((of) => {
    const [{ layer, batch, dtype, pass }] = of as [KernelRow];
    return {
      layer,
      batch,
      dtype,
      pass,
      chosen: of.find(({ chosen }) => chosen),
      own: fastest(of.filter(isOwn)),
      cudnn: fastest(of.filter(isCudnn)),
      torch: of.find(({ by }) => by === 'PyTorch'),
    };
  });
}
const keyOf = ({ layer, batch, dtype, pass }: KernelRow) => [layer, batch, dtype, pass].join(' ');

export function kernelTable(rows: readonly KernelRow[]): string {
  const micro = (row: KernelRow | undefined) => fixed(row && row.seconds * 1e6, 1);
  const ratio = (line: KernelLine, other: KernelRow | undefined) =>
    fixed(other && line.chosen && other.seconds / line.chosen.seconds, 2);
  return formatMarkdown<KernelLine>(
    [
      { title: 'layer', cell: ({ layer }) => layer },
      { title: 'batch', cell: ({ batch }) => batch },
      { title: 'dtype', cell: ({ dtype }) => dtype },
      { title: 'pass', cell: ({ pass }) => pass },
      { title: 'chosen, us', cell: ({ chosen }) => micro(chosen) },
      { title: '% of bandwidth', cell: ({ chosen }) => fixed(chosen && 100 * chosen.ofBandwidth, 0) },
      { title: 'TFLOP/s', cell: ({ chosen }) => fixed(chosen?.teraflops, 1) },
      { title: 'own kernel', cell: ({ own }) => own?.by },
      { title: 'own, us', cell: ({ own }) => micro(own) },
      { title: 'cuDNN, us', cell: ({ cudnn }) => micro(cudnn) },
      { title: 'PyTorch, us', cell: ({ torch }) => micro(torch) },
      { title: 'to cuDNN', cell: (line) => ratio(line, line.cudnn) },
      { title: 'to PyTorch', cell: (line) => ratio(line, line.torch) },
      { title: 'failure', cell: ({ chosen, torch }) => chosen?.failure ?? torch?.failure },
    ],
    kernelLines(rows),
  );
}

export function networkTable(rows: readonly NetworkRow[]): string {
  return formatMarkdown<NetworkRow>(
    [
      { title: 'network', cell: ({ network }) => network },
      { title: 'work', cell: ({ work }) => work },
      { title: 'batch', cell: ({ n }) => n },
      { title: 'dtype', cell: ({ dtype }) => dtype },
      { title: 'by', cell: ({ by }) => by },
      { title: 'ms', cell: ({ milliseconds }) => fixed(milliseconds, 3) },
      { title: 'images/s', cell: ({ imagesPerSecond }) => fixed(imagesPerSecond, 0) },
      { title: 'peak MB', cell: ({ peakMegabytes }) => fixed(peakMegabytes, 0) },
      { title: 'failure', cell: ({ failure }) => failure },
    ],
    rows,
  );
}

const geometricMean = (values: number[]) =>
  Math.exp(values.reduce((sum, value) => sum + Math.log(value), 0) / values.length);

/** What the goals are about, in a few lines: sums and geometric means over the grouped layers. */
export function goals(rows: readonly KernelRow[]): string[] {
  const lines = kernelLines(rows);
  const sets = new Set(lines.map(({ batch, dtype, pass }) => `${dtype}, batch ${batch}, ${pass}`));
  return [...sets].sort().map((set) => {
    const of = lines.filter(({ batch, dtype, pass }) => `${dtype}, batch ${batch}, ${pass}` === set);
    const seconds = of.reduce((sum, { chosen }) => sum + (chosen?.seconds ?? Number.NaN), 0);
    const ratios = (pick: (line: KernelLine) => KernelRow | undefined) =>
      of.flatMap((line) => {
        const other = pick(line);
        return other && line.chosen && Number.isFinite(other.seconds)
          ? [other.seconds / line.chosen.seconds]
          : [];
      });
    const cudnn = ratios((line) => line.cudnn);
    const torch = ratios((line) => line.torch);
    const parts = [`${set}: ${of.length} layers in ${fixed(seconds * 1000, 3)} ms`];
    if (cudnn.length) parts.push(`${fixed(geometricMean(cudnn), 2)}x the best of cuDNN`);
    if (torch.length) parts.push(`${fixed(geometricMean(torch), 2)}x PyTorch`);
    return `${parts.join(', ')} (geometric means)`;
  });
}

export function toMarkdown(report: GpuReport): string {
  const { device, torch, bandwidthGigabytes, matrixTeraflops, steps, kernels, networks } = report;
  const facts = Object.entries(device).filter(([, value]) => value !== '' && value !== undefined);
  return [
    '# groupconv on a GPU',
    '',
    facts.map(([name, value]) => `${name} ${value}`).join(', '),
    '',
    `Measured beside everything: ${fixed(bandwidthGigabytes, 0)} GB/s (a copy, bytes read plus written), ` +
      `${fixed(matrixTeraflops, 0)} TFLOP/s (bf16, 8192 x 8192 x 8192). ${torch ? `PyTorch ${torch}.` : 'No PyTorch.'}`,
    '',
    '## Steps',
    '',
    formatMarkdown<Step>(
      [
        { title: 'step', cell: ({ name }) => name },
        { title: 'outcome', cell: ({ outcome }) => outcome },
        { title: 'seconds', cell: ({ seconds }) => seconds.toFixed(0) },
      ],
      steps,
    ),
    ...steps.flatMap(({ name, outcome, tail }) =>
      outcome === 'passed' || !tail ? [] : ['', `### ${name}: ${outcome}`, '', '```', tail, '```'],
    ),
    '',
    '## Convolutions',
    '',
    kernelTable(kernels),
    '',
    '## Networks',
    '',
    networkTable(networks),
    '',
    '## In short',
    '',
    ...goals(kernels).map((line) => `- ${line}`),
    '',
  ].join('\n');
}

/** Images a second of every network. */
export function networkChart(rows: readonly NetworkRow[]): TopLevelSpec {
  return speedChart(
    rows
      .filter(({ failure }) => !failure)
      .map(({ network, work, n, dtype, by, imagesPerSecond }) => ({
        what: `${network}, ${work === 'training' ? 'training step' : work}, batch ${n}, ${dtype}`,
        by,
        imagesPerSecond,
      })),
  );
}
