/** A report's tables, and its important rows for a console. */
import { formatMarkdown, formatTable } from '../table.js';
import { layerSets, targetOf, unitOf } from './goals.js';
import { type KernelLine, kernelLines, matrixRate, ratio } from './lines.js';
import { type KernelRow, type MatrixRate, type NetworkRow, type Precision, passes } from './rows.js';
import { linesOf, meanRatio, type Verdict, verdicts } from './verdicts.js';

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
  /** Measured beside the rows: bytes read plus written a second, and large products. */
  bandwidthGigabytes: number | null;
  matrix: MatrixRate[];
  steps: Step[];
  kernels: KernelRow[];
  networks: NetworkRow[];
  /** Rows that don't exist: solvers that don't take a problem. */
  absent: string[];
  /** Layers' cases and networks' rows for which there was no time; null before the first one is measured. */
  unreached: Record<'kernels' | 'networks', { left: number; of: number }> | null;
  /** What was being measured when this was written. */
  current: ({ kind: 'kernels' } & KernelRow) | ({ kind: 'networks' } & NetworkRow) | null;
}

const fixed = (value: number | undefined, digits: number) =>
  value === undefined || !Number.isFinite(value) ? '' : value.toFixed(digits);
const micro = (row: { seconds?: number } | undefined) => fixed(row && (row.seconds as number) * 1e6, 1);
/** How many of cuDNN's engines were measured, and how far apart they are: "9: 200.0-910.5". */
const spread = (row: KernelRow | undefined) =>
  row?.engines && `${row.engines.length}: ${micro(row.engines[0])}-${micro(row.engines.at(-1))}`;

export function kernelTable({ kernels, bandwidthGigabytes, matrix }: GpuReport): string {
  const bandwidth = (bandwidthGigabytes ?? Number.NaN) * 1e9;
  const ofBandwidth = ({ ours }: KernelLine) =>
    ours && (100 * ours.bytes) / (ours.seconds as number) / bandwidth;
  const ofMatrix = ({ ours, precision }: KernelLine) =>
    ours &&
    (100 * ours.flops) /
      (ours.seconds as number) /
      ((matrixRate(matrix, precision)?.teraflops ?? Number.NaN) * 1e12);
  return formatMarkdown<KernelLine>(
    [
      { title: 'layer', cell: ({ layer }) => layer },
      { title: 'batch', cell: ({ batch }) => batch },
      { title: 'precision', cell: ({ precision }) => precision },
      { title: 'pass', cell: ({ pass }) => pass },
      { title: 'fastest', cell: ({ ours }) => ours?.by },
      { title: 'us', cell: ({ ours }) => micro(ours) },
      { title: '% of bandwidth', cell: (line) => fixed(ofBandwidth(line), 0) },
      { title: '% of matrix rate', cell: (line) => fixed(ofMatrix(line), 1) },
      { title: 'own, us', cell: ({ own }) => micro(own) },
      { title: 'cuDNN, us', cell: ({ cudnn }) => micro(cudnn) },
      {
        title: "cuDNN's engine",
        cell: ({ cudnn }) => (cudnn?.untuned ? 'its first choice' : cudnn?.engine),
      },
      { title: 'engines, us', cell: ({ cudnn }) => spread(cudnn) },
      { title: 'PyTorch, us', cell: ({ torch }) => micro(torch) },
      { title: 'own to cuDNN', cell: ({ own, cudnn }) => fixed(ratio(own, cudnn), 2) },
      { title: 'to PyTorch', cell: ({ ours, torch }) => fixed(ratio(ours, torch), 2) },
      { title: 'failures', cell: ({ failures }) => failures.join('; ') },
    ],
    kernelLines(kernels),
  );
}

const networkColumns = [
  { title: 'network', cell: ({ network }: NetworkRow) => network },
  { title: 'work', cell: ({ work }: NetworkRow) => work },
  { title: 'batch', cell: ({ n }: NetworkRow) => n },
  { title: 'precision', cell: ({ precision }: NetworkRow) => precision },
  { title: 'by', cell: ({ by }: NetworkRow) => by },
  { title: 'ms', cell: ({ seconds }: NetworkRow) => fixed(seconds && seconds * 1000, 3) },
  { title: 'images/s', cell: ({ seconds, n }: NetworkRow) => fixed(seconds && n / seconds, 0) },
  { title: 'peak MB', cell: ({ peakMegabytes }: NetworkRow) => fixed(peakMegabytes, 0) },
  { title: 'note', cell: ({ failure, note }: NetworkRow) => failure ?? note },
];
/** Rows of one work together, in the order in which they came. */
function ordered(rows: readonly NetworkRow[]): NetworkRow[] {
  const works = new Map<string, NetworkRow[]>();
  for (const row of rows) {
    const key = [row.network, row.work, row.n, row.precision].join(' ');
    works.set(key, [...(works.get(key) ?? []), row]);
  }
  return [...works.values()].flat();
}

const goalColumns = [
  { title: 'goal', cell: ({ verdict }: Verdict) => verdict },
  { title: 'what, in bfloat16', cell: ({ what }: Verdict) => what },
  { title: 'target', cell: ({ goal }: Verdict) => targetOf(goal) },
  {
    title: 'measured',
    cell: ({ goal, measured }: Verdict) =>
      Number.isFinite(measured) ? `${measured.toFixed(measured < 100 ? 2 : 0)}${unitOf(goal)}` : '',
  },
  { title: 'note', cell: ({ note }: Verdict) => note },
];

/** All layers of a network together, for whatever has been measured completely. */
export function sums({ kernels }: GpuReport): string[] {
  const precisions: Precision[] = ['bfloat16', 'tf32', 'float32'];
  const lines: string[] = [];
  for (const set of Object.keys(layerSets) as (keyof typeof layerSets)[])
    for (const batch of [256, 32])
      for (const precision of precisions)
        for (const pass of passes) {
          const of = linesOf(kernels, set, pass, batch, precision);
          if (!of) continue;
          const seconds = of.reduce((sum, { ours }) => sum + (ours?.seconds ?? Number.NaN), 0);
          const [cudnn, torch] = [meanRatio(of, 'cuDNN'), meanRatio(of, 'PyTorch')];
          const parts = [`${layerSets[set].title}, ${precision}, batch ${batch}, ${pass}: `];
          parts.push(Number.isFinite(seconds) ? `${fixed(seconds * 1000, 3)} ms` : 'no time for one of them');
          if (Number.isFinite(cudnn)) parts.push(`, own kernels ${fixed(cudnn, 2)} x cuDNN`);
          if (Number.isFinite(torch)) parts.push(`, ${fixed(torch, 2)} x PyTorch`);
          if (of.some(({ cudnn }) => cudnn?.untuned)) parts.push(' (untuned)');
          lines.push(parts.join(''));
        }
  return lines;
}

function peaksOf({ bandwidthGigabytes, matrix, torch }: GpuReport): string {
  const rates = matrix.map(
    ({ precision, by, teraflops }) => `${precision} ${fixed(teraflops, 0)} TFLOP/s (${by})`,
  );
  const bandwidth = fixed(bandwidthGigabytes ?? undefined, 0) || '?';
  return `Measured beside everything: ${bandwidth} GB/s (a copy, bytes read plus written); products of matrices of \
8192: ${rates.join(', ') || 'none'}. ${torch ? `PyTorch ${torch}.` : 'No PyTorch.'}`;
}

/** What a reader must not overlook: steps that did not pass, and what there was no time for. */
function reservations({ steps, unreached }: GpuReport): string[] {
  const lines = steps
    .filter(({ outcome }) => outcome !== 'passed')
    .map(({ name, outcome }) => `${name}: ${outcome}`);
  const missing = Object.entries({
    'cases of layers': unreached?.kernels,
    'rows of networks': unreached?.networks,
  }).flatMap(([what, count]) => (count?.left ? [`${count.left} of ${count.of} ${what}`] : []));
  if (missing.length > 0)
    lines.push(
      `not reached: ${missing.join(', ')}; "npm run gpu:check -- --continue --only measure" goes on with them`,
    );
  return lines;
}

const stepColumns = [
  { title: 'step', cell: ({ name }: Step) => name },
  { title: 'outcome', cell: ({ outcome }: Step) => outcome },
  { title: 'seconds', cell: ({ seconds }: Step) => seconds.toFixed(0) },
];

const bullets = (lines: readonly string[]) => lines.map((line) => `- ${line}`).join('\n');

export function toMarkdown(report: GpuReport): string {
  const { device, steps, networks } = report;
  const facts = Object.entries(device).filter(([, value]) => value !== '' && value !== undefined);
  return [
    '# groupconv on a GPU',
    facts.map(([name, value]) => `${name} ${value}`).join(', '),
    peaksOf(report),
    'Autotuned; cuDNN may add up in any order, as PyTorch lets it. Layers are timed as graphs of many runs on inputs ' +
      'that take turns, for PyTorch, too. Untuned ones are by the engines that cuDNN, and PyTorch, choose unmeasured.',
    '## Goals',
    'On an H100, bfloat16. Ratios to cuDNN are those of own kernels to its fastest engine; means are geometric.',
    formatMarkdown(goalColumns, verdicts(report)),
    bullets(reservations(report)),
    '## Networks',
    formatMarkdown(networkColumns, ordered(networks)),
    '## Layers together',
    bullets(sums(report)),
    '## Layers',
    kernelTable(report),
    '## Steps',
    formatMarkdown(stepColumns, steps),
    ...steps.flatMap(({ name, outcome, tail }) =>
      outcome === 'passed' || !tail ? [] : [`### ${name}: ${outcome}`, `\`\`\`\n${tail}\n\`\`\``],
    ),
    '',
  ].join('\n\n');
}

/** The important rows, for the end of the output: steps, networks, all goals with what was measured, and what is missing. */
export function toConsole(report: GpuReport): string {
  const { steps, networks } = report;
  return [
    formatTable(stepColumns, steps),
    peaksOf(report),
    formatTable(networkColumns, ordered(networks)),
    formatTable(goalColumns, verdicts(report)),
    reservations(report).join('\n'),
  ]
    .join('\n\n')
    .trimEnd();
}
