// Statistics, tables, options and charts of the benchmarks.
import test from 'ava';
import { kernelChart, networkChart, sweepChart } from '../../benchmarks/charts.js';
import { type Options, parseOptions } from '../../benchmarks/options.js';
import { withSection } from '../../benchmarks/publish.js';
import { noise, relativeError, summarise } from '../../benchmarks/statistics.js';
import { type KernelRow, kernelLines } from '../../benchmarks/suites/kernels.js';
import type { NetworkRow } from '../../benchmarks/suites/networks.js';
import { toSvg } from '../../benchmarks/svg.js';
import { type Column, formatMarkdown, formatTable } from '../../benchmarks/table.js';

test('minimum and median', (t) => {
  t.deepEqual(summarise([3, 1, 2]), { min: 1, median: 2, runs: 3 });
  t.deepEqual(summarise([4, 1, 2, 3]), { min: 1, median: 2.5, runs: 4 });
  t.true(Number.isNaN(summarise([]).min));
});

test('noise: a moving peak or a median far above the minimum', (t) => {
  t.is(noise({ min: 1, median: 1.1, runs: 9 }, [100, 104, 103]), null);
  t.is(noise({ min: 1, median: 1.1, runs: 9 }, [100, 106, 103]), 'peak moved');
  t.is(noise({ min: 1, median: 1.2, runs: 9 }, [100, 104, 103]), 'median far from min');
});

test('results of another length are never the same', (t) => {
  t.is(relativeError([3, 4], [3, 4]), 0);
  t.is(relativeError([3, 4, 0], [3, 4, 12]), 12 / 13);
  t.is(relativeError([1], [1, 2]), Number.POSITIVE_INFINITY);
  t.false(relativeError([Number.NaN], [1]) <= 1);
});

const columns: Column<{ name: string; time: number | null }>[] = [
  { title: 'name', cell: ({ name }) => name },
  { title: 'us', cell: ({ time }) => time?.toFixed(1) },
];
const rows = [
  { name: 'a', time: 1 },
  { name: 'long', time: 12.25 },
  { name: 'none', time: null },
];

test('tables: words to the left, numbers to the right, no cell where there is nothing', (t) => {
  t.is(formatTable(columns, rows), 'name    us\na      1.0\nlong  12.3\nnone');
  t.is(
    formatMarkdown(columns, rows),
    '| name |   us |\n| ---- | ---: |\n| a    |  1.0 |\n| long | 12.3 |\n| none |      |',
  );
});

test('options: what is given, and errors that say what is wrong', (t) => {
  const options = parseOptions([
    'networks',
    '--peers',
    '--batch',
    '1,8',
    '--threads',
    '2',
    '--filter',
    'mobile',
  ]) as Options;
  t.is(options.suite, 'networks');
  t.true(options.peers);
  t.deepEqual(options.batches, [1, 8]);
  t.is(options.threads, 2);
  t.true(options.filter.test('mobilenet_v1'));
  t.is(parseOptions([])?.suite, 'kernels');
  t.throws(() => parseOptions(['kernel']), { message: /expected one suite of kernels.*found "kernel"/ });
  t.throws(() => parseOptions(['--batch', '0']), {
    message: /--batch: expected a whole number above 0, found "0"/,
  });
  t.throws(() => parseOptions(['--shapes', 'vgg']), {
    message: /--shapes: expected one of .*resnext50_32x4d/,
  });
  t.is(parseOptions(['--help']), null);
  t.throws(() => parseOptions(['overhead', '--svg', 'x.svg']), { message: /--svg: overhead has no chart/ });
  t.throws(() => parseOptions(['--publish', 'nowhere']), { message: /no section <!-- nowhere -->/ });
  t.throws(() => parseOptions(['--colour']), { message: /--colour/ });
});

const result = {
  ...{ detail: '', samples: [1e-3], min: 1e-3, median: 1e-3, runs: 1, percentOfPeak: 90, ratio: 1, error: 0 },
  ...{ residentBytes: 1e6, noise: null, failure: null },
};
const kernelRow = (contender: string, min: number, failure: string | null = null): KernelRow => ({
  ...result,
  ...{
    shapes: 's',
    layer: 'conv',
    pass: 'forward' as const,
    batch: 1,
    gigabytesPerSecond: 1,
    contender,
    min,
    failure,
  },
});

test('a layer stands beside the best of the other contenders that could do it', (t) => {
  const all = [
    kernelRow('groupconv', 2),
    kernelRow('groupconv direct', 5),
    kernelRow('oneDNN any', 4),
    kernelRow('oneDNN nhwc', 3),
    kernelRow('oneDNN nchw', 1, 'another result'),
    { ...kernelRow('oneDNN any', 1), batch: 8 },
  ];
  const lines = kernelLines(all);
  t.deepEqual(
    lines.map(({ ours, chosen }) => [ours.contender, chosen]),
    [
      ['groupconv', true],
      ['groupconv direct', false],
    ],
  );
  t.is(lines[0]!.best!.contender, 'oneDNN nhwc');
});

test('charts become SVG that names what was measured', async (t) => {
  const lines = kernelLines([kernelRow('groupconv', 2), kernelRow('oneDNN any', 4)]);
  const network = (contender: string): NetworkRow => ({
    ...result,
    ...{
      network: 'net',
      cardinality: 32,
      width: 4,
      work: 'training' as const,
      batch: 8,
      imagesPerSecond: 9,
      contender,
    },
  });
  const networks = [network('groupconv'), network('PyTorch eager')];
  for (const [spec, label] of [
    [kernelChart(lines), 'conv'],
    [networkChart(networks), 'net, training step, batch 8'],
    [sweepChart(networks), '32 x 4d'],
  ] as const) {
    const svg = await toSvg(spec);
    t.regex(svg, /^<svg [\s\S]*<\/svg>$/);
    t.true(svg.includes(`>${label}<`), label);
    t.true(svg.includes('groupconv'));
  }
});

test('a section is replaced between its markers and nowhere else', (t) => {
  const text = 'a <!-- x --> old <!-- /x --> b <!-- y -->kept<!-- /y -->';
  const once = withSection(text, 'x', 'new\n');
  t.is(once, 'a <!-- x -->\n\nnew\n\n<!-- /x --> b <!-- y -->kept<!-- /y -->');
  t.is(withSection(once, 'x', 'new'), once);
  t.throws(() => withSection(text, 'z', 'new'), { message: /no section <!-- z -->/ });
});
