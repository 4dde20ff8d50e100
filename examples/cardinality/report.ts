import { chartSvg } from '../chart.js';
import { findings, type Run, show, spread } from './findings.js';
import { branchWidths, CARDINALITIES } from './networks.js';

/** Test error by cardinality, with and without residuals: means, standard deviations and every run. */
export function chart(runs: readonly Run[]): Promise<string> {
  const values = runs.map((run) => ({ ...run, blocks: run.residual ? 'residual' : 'plain' }));
  const x = {
    field: 'cardinality',
    type: 'ordinal' as const,
    title: 'cardinality, at equal parameters',
    axis: { labelAngle: 0 },
  };
  const color = { field: 'blocks', type: 'nominal' as const };
  const xOffset = { field: 'blocks', type: 'nominal' as const };
  const title = 'test error in %';
  const scale = { zero: false };
  return chartSvg({
    $schema: 'https://vega.github.io/schema/vega-lite/v6.json',
    background: 'white',
    width: 460,
    height: 300,
    data: { values },
    layer: [
      {
        mark: { type: 'errorbar', extent: 'stdev', ticks: true },
        encoding: { x, xOffset, color, y: { field: 'error', type: 'quantitative', scale, title } },
      },
      {
        mark: { type: 'point', filled: true, size: 80, opacity: 1 },
        encoding: {
          x,
          xOffset,
          color,
          y: { field: 'error', aggregate: 'mean', type: 'quantitative', scale, title },
        },
      },
      {
        mark: { type: 'point', size: 16, opacity: 0.6 },
        encoding: { x, xOffset, color, y: { field: 'error', type: 'quantitative', scale, title } },
      },
    ],
  });
}

function row(runs: readonly Run[], cardinality: number): string {
  const own = runs.filter((run) => run.cardinality === cardinality);
  const cells = [true, false].flatMap((residual) => {
    const some = own.filter((run) => run.residual === residual);
    if (some.length === 0) return ['', ''];
    return [
      show(spread(some.map(({ error }) => error))),
      show(spread(some.map(({ trainLoss }) => trainLoss)), 3),
    ];
  });
  const parameters = [true, false]
    .map((residual) => own.find((run) => run.residual === residual)?.parameters.toLocaleString('en') ?? '')
    .join(' / ');
  return `| ${[cardinality, branchWidths(cardinality).join(', '), parameters, ...cells].join(' | ')} |`;
}

/** The table and what it says, as Markdown. */
export function report(runs: readonly Run[], setting: string): string {
  const seeds = new Set(runs.map(({ seed }) => seed)).size;
  return `# Cardinality at equal parameters

${setting} ${seeds} seeds; mean ± standard deviation. Made by \`npm run example:cardinality\`.

| cardinality | width of a branch, by stage | parameters, residual / plain | test error %, residual | training loss | test error %, plain | training loss |
| ---: | ---: | ---: | ---: | ---: | ---: | ---: |
${CARDINALITIES.map((cardinality) => row(runs, cardinality)).join('\n')}

${findings(runs, CARDINALITIES)
  .map((finding) => `- ${finding}.`)
  .join('\n')}

The paper's tables are of ImageNet and networks of 50 and 101 layers, where the same comparison gives 22.2 % (32 x 4d) against
23.9 % (1 x 64d) with residuals. Here two standard errors of the difference of means decide; what lies within is "not decided".

![test error](chart.svg)
`;
}
