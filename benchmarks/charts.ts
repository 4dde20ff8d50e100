/** The suites' results as Vega-Lite charts. */
import type { TopLevelSpec } from 'vega-lite';
import type { KernelLine } from './suites/kernels.js';
import type { NetworkRow } from './suites/networks.js';

const schema = 'https://vega.github.io/schema/vega-lite/v6.json';
const config: TopLevelSpec['config'] = {
  background: 'white',
  font: 'sans-serif',
  axis: { labelLimit: 240 },
  legend: { labelLimit: 320 },
  view: { stroke: null },
};

/** groupconv stands out; peers keep their colours from chart to chart. */
const colours: Readonly<Record<string, string>> = {
  groupconv: '#d1495b',
  oneDNN: '#7a8fa6',
  'onnxruntime-node': '#7a8fa6',
  'PyTorch eager': '#d9d2c5',
  'PyTorch channels_last': '#b9ad98',
  'PyTorch channels_last, kept memory': '#998a70',
  'PyTorch channels_last, kept memory, AVX-512': '#6f6350',
  'PyTorch jit': '#998a70',
  'groupconv, captured': '#a23345',
  'groupconv, autotuned': '#d1495b',
  'groupconv, captured, autotuned': '#a23345',
  'PyTorch captured': '#b9ad98',
  'torch.compile': '#998a70',
  'TensorFlow.js wasm': '#e3b23c',
};

function palette(names: readonly string[]) {
  const domain = [...new Set(names)];
  return { domain, range: domain.map((name) => colours[name] ?? '#444444') };
}

/** % of the multiply-add peak of every layer: groupconv's chosen solver and the best of oneDNN's layouts. */
export function kernelChart(lines: readonly KernelLine[]): TopLevelSpec {
  const batches = new Set(lines.map(({ ours }) => ours.batch)).size;
  const values = lines.flatMap(({ ours, best }) =>
    [ours, ...(best ? [best] : [])].map((row) => ({
      layer: batches > 1 ? `${row.layer}, batch ${row.batch}` : row.layer,
      pass: row.pass,
      by: row === ours ? 'groupconv' : 'oneDNN',
      percent: row.percentOfPeak,
    })),
  );
  return {
    $schema: schema,
    config,
    data: { values },
    mark: 'bar',
    width: 230,
    height: { step: 8 },
    encoding: {
      column: { field: 'pass', title: null, sort: ['forward', 'gradInput', 'gradWeight'] },
      y: { field: 'layer', title: null, sort: null },
      yOffset: { field: 'by', sort: ['groupconv', 'oneDNN'] },
      x: { field: 'percent', type: 'quantitative', title: '% of the multiply-add peak' },
      color: { field: 'by', title: null, scale: palette(values.map(({ by }) => by)) },
    },
  };
}

/** Images a second of every network, work and batch. */
export function networkChart(rows: readonly NetworkRow[]): TopLevelSpec {
  return speedChart(
    rows
      .filter(({ failure }) => !failure)
      .map(({ network, work, batch, contender, imagesPerSecond }) => ({
        what: `${network}, ${work === 'training' ? 'training step' : work}, batch ${batch}`,
        by: contender,
        imagesPerSecond,
      })),
  );
}

/** Images a second: bars by contender under a heading for each thing that is measured. */
export function speedChart(values: { what: string; by: string; imagesPerSecond: number }[]): TopLevelSpec {
  const scale = palette(values.map(({ by }) => by));
  return {
    $schema: schema,
    config,
    data: { values },
    facet: {
      row: {
        field: 'what',
        title: null,
        sort: null,
        header: { labelAngle: 0, labelOrient: 'top', labelAnchor: 'start' },
      },
    },
    resolve: { scale: { x: 'independent' } },
    spec: {
      mark: 'bar',
      width: 420,
      height: { step: 16 },
      encoding: {
        y: { field: 'by', title: null, sort: scale.domain },
        x: { field: 'imagesPerSecond', type: 'quantitative', title: 'images/s' },
        color: { field: 'by', legend: null, scale },
      },
    },
  };
}

/** Images a second over the cardinality. */
export function sweepChart(rows: readonly NetworkRow[]): TopLevelSpec {
  const values = rows
    .filter(({ failure }) => !failure)
    .map(({ cardinality, width, work, batch, contender, imagesPerSecond }) => ({
      size: `${cardinality} x ${width}d`,
      work: `${work === 'training' ? 'training step' : work}, batch ${batch}`,
      by: contender,
      imagesPerSecond,
    }));
  return {
    $schema: schema,
    config,
    data: { values },
    mark: { type: 'line', point: true },
    width: 260,
    height: 220,
    encoding: {
      column: { field: 'work', title: null, sort: null },
      x: { field: 'size', title: 'cardinality x width', sort: null, axis: { labelAngle: 0 } },
      y: { field: 'imagesPerSecond', type: 'quantitative', title: 'images/s' },
      color: { field: 'by', title: null, scale: palette(values.map(({ by }) => by)) },
    },
    resolve: { scale: { y: 'independent' } },
  };
}
