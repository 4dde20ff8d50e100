/** Every convolution of a shape file in its three passes, beside oneDNN's best layout. */
import { native } from '../../lib/native.js';
import { kernelChart } from '../charts.js';
import { type Contender, contendersFor } from '../contenders.js';
import { contest, enter, leave, type Result } from '../contest.js';
import type { Options } from '../options.js';
import { type Pass, passes } from '../peers/protocol.js';
import { startProgress } from '../progress.js';
import { missingOf, type Report, versionsOf } from '../report.js';
import { type Layer, leastBytes, multiplyAdds, readShapes } from '../shapes.js';
import { type Column, formatMarkdown, formatTable } from '../table.js';

export interface KernelRow extends Result {
  shapes: string;
  layer: string;
  pass: Pass;
  batch: number;
  gigabytesPerSecond: number;
}

/** A line of the table: one way of groupconv's to do a pass, and the best of the others. */
export interface KernelLine {
  ours: KernelRow;
  chosen: boolean;
  best: KernelRow | undefined;
}

/** groupconv's rows, each with the fastest other row of the same layer, pass and batch. */
export function kernelLines(rows: readonly KernelRow[]): KernelLine[] {
  const same = (a: KernelRow, b: KernelRow) =>
    a.layer === b.layer && a.pass === b.pass && a.batch === b.batch;
  return rows
    .filter(({ contender, failure }) => contender.startsWith('groupconv') && !failure)
    .map((ours) => ({
      ours,
      chosen: ours.contender === 'groupconv',
      best: rows
        .filter((row) => same(row, ours) && !row.contender.startsWith('groupconv') && !row.failure)
        .sort((a, b) => a.min - b.min)[0],
    }));
}

const microseconds = (seconds: number) => (seconds * 1e6).toFixed(1);
const columns: Column<KernelLine>[] = [
  { title: 'layer', cell: ({ ours }) => ours.layer },
  { title: 'pass', cell: ({ ours }) => ours.pass },
  { title: 'batch', cell: ({ ours }) => ours.batch },
  { title: 'solver', cell: ({ ours }) => ours.detail },
  { title: 'min us', cell: ({ ours }) => microseconds(ours.min) },
  { title: 'median us', cell: ({ ours }) => microseconds(ours.median) },
  { title: '% of peak', cell: ({ ours }) => ours.percentOfPeak.toFixed(1) },
  { title: 'GB/s', cell: ({ ours }) => ours.gigabytesPerSecond.toFixed(1) },
  { title: 'oneDNN us', cell: ({ best }) => best && microseconds(best.min) },
  { title: 'layout', cell: ({ best }) => best?.contender.replace('oneDNN ', '') ?? null },
  { title: 'faster', cell: ({ ours, best }) => best && `${(best.min / ours.min).toFixed(2)} x` },
  { title: 'noisy', cell: ({ ours, best }) => ours.noise ?? best?.noise ?? null },
];

/** Every other solver as a contender of its own: it refuses what it doesn't accept. */
function solverContenders(chosen: Contender): Contender[] {
  const names = native.solvers('conv2d', -1).filter((name) => name !== 'reference');
  return names.map((name) => ({ ...chosen, name: `groupconv ${name}`, variant: name }));
}

export async function measureKernels(options: Options): Promise<Report> {
  const { threads, shapes, all } = options;
  const [ours, ...others] = contendersFor('layer', options.peers) as [Contender, ...Contender[]];
  const contenders = [
    ours,
    ...(all ? solverContenders(ours) : []),
    ...others.filter(({ name }) => options.contenders.test(name)),
  ];
  const layers = readShapes(shapes).filter(({ name }) => options.filter.test(name));
  const wanted = passes.filter((pass) => pass.includes(options.only));
  const batches = options.batches ?? [1];
  const entrants = await enter(contenders, threads);
  const progress = startProgress(layers.length * wanted.length * batches.length);
  const measure = async (layer: Layer, pass: Pass, batch: number): Promise<KernelRow[]> => {
    progress.next(`${layer.name} ${pass}, batch ${batch}`);
    const { name, ...extents } = layer;
    const flop = 2 * multiplyAdds(layer, batch);
    const settings = {
      ...{ threads, flop, tolerance: 1e-4, retries: options.retries ?? 3 },
      ...{ rounds: options.rounds ?? 5, seconds: options.seconds ?? 0.04 },
    };
    const results = await contest(entrants, { work: 'layer', pass, n: batch, ...extents }, settings);
    return results.map((result) => ({
      shapes,
      layer: name,
      pass,
      batch,
      ...result,
      gigabytesPerSecond: leastBytes(layer, batch) / result.min / 1e9,
    }));
  };
  const rows: KernelRow[] = [];
  try {
    for (const batch of batches)
      for (const layer of layers)
        for (const pass of wanted) rows.push(...(await measure(layer, pass, batch)));
  } finally {
    progress.stop();
    leave(entrants);
  }
  const lines = kernelLines(rows);
  const shown = columns.filter(({ cell }) => lines.some((line) => (cell(line) ?? '') !== ''));
  return {
    title: `${shapes}, batch ${batches.join(' and ')}, float32, random inputs`,
    table: { text: formatTable(shown, lines), markdown: formatMarkdown(shown, lines) },
    rows,
    chart: kernelChart(lines.filter(({ chosen }) => chosen)),
    versions: versionsOf(entrants),
    missing: missingOf(contenders),
  };
}
