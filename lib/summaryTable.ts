import type { Summary, SummaryRow } from './summary.js';

/** torchinfo's layout of a summary: the widths, lines and units of its default columns. */

const COLUMN_WIDTH = 25;
const NAME_WIDTH = 40;
const INDENT = 5;
const COLUMNS = 2;

const grouped = (value: number) => value.toLocaleString('en-US');
const megabytes = (bytes: number) => (bytes / 1e6).toFixed(2);

function label({ type, depth, index }: SummaryRow): string {
  return depth === 0 ? type : `${type}: ${depth}-${index}`;
}
function prefix(depth: number): string {
  if (depth === 0) return '';
  return depth === 1 ? '├─' : `${'│    '.repeat(depth - 1)}└─`;
}

/** Parameters are shown where they belong: with a leaf, with the last row that is shown, or left over in between. */
function paramsOf(row: SummaryRow, isDeepest: boolean): string {
  if (row.params === 0) return '--';
  if (row.isRecursive) return '(recursive)';
  if (!isDeepest && !row.isLeaf) return row.ownParams > 0 ? grouped(row.ownParams) : '--';
  return row.trainableParams > 0 ? grouped(row.params) : `(${grouped(row.params)})`;
}

/** "(G): 2.44", in millions (M) at least. */
function multAddsLine(count: number): string {
  const [unit, size] = count >= 1e12 ? ['T', 1e12] : count >= 1e9 ? ['G', 1e9] : ['M', 1e6];
  const scaled = count / (size as number);
  const digits = Number.isInteger(scaled) ? 0 : 2;
  return `(${unit}): ${scaled.toLocaleString('en-US', { minimumFractionDigits: digits, maximumFractionDigits: digits })}`;
}

/** @internal The table to a depth, without a line break at the end. */
export function formatSummary(summary: Omit<Summary, 'toString'>, maxDepth: number): string {
  const { rows } = summary;
  const longest = Math.max(...rows.map((row) => label(row).length + row.depth * INDENT + 1));
  const nameWidth = longest >= NAME_WIDTH ? Math.ceil(longest / INDENT) * INDENT : NAME_WIDTH;
  const rule = '='.repeat(nameWidth + COLUMNS * COLUMN_WIDTH);
  const line = (name: string, shape: string, params: string) =>
    `${name.padEnd(nameWidth)} ${shape.padEnd(COLUMN_WIDTH)} ${params.padEnd(COLUMN_WIDTH)}`.trimEnd();
  return [
    rule,
    line('Layer (type:depth-idx)', 'Output Shape', 'Param #'),
    rule,
    ...rows
      .filter(({ depth }) => depth <= maxDepth)
      .map((row) => {
        const shape = `[${row.outputShape.join(', ')}]`;
        return line(prefix(row.depth) + label(row), shape, paramsOf(row, row.depth === maxDepth));
      }),
    rule,
    `Total params: ${grouped(summary.totalParams)}`,
    `Trainable params: ${grouped(summary.trainableParams)}`,
    `Non-trainable params: ${grouped(summary.totalParams - summary.trainableParams)}`,
    `Total mult-adds ${multAddsLine(summary.multAdds)}`,
    rule,
    `Input size (MB): ${megabytes(summary.inputBytes)}`,
    `Forward/backward pass size (MB): ${megabytes(summary.forwardBackwardBytes)}`,
    `Params size (MB): ${megabytes(summary.paramBytes)}`,
    `Estimated Total Size (MB): ${megabytes(summary.totalBytes)}`,
    rule,
  ].join('\n');
}
