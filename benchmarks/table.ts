/** One column of a table: its title and how a row's cell is written; null and undefined leave it empty. */
export interface Column<Row> {
  title: string;
  cell: (row: Row) => string | number | null | undefined;
}

function cellsOf<Row>(columns: readonly Column<Row>[], rows: readonly Row[]): string[][] {
  const body = rows.map((row) => columns.map(({ cell }) => String(cell(row) ?? '')));
  return [columns.map(({ title }) => title), ...body];
}

/** Whether a column holds numbers (its head aside): those stand to the right. */
function isNumeric(cells: readonly string[][], column: number): boolean {
  const body = cells.slice(1).map((row) => row[column] as string);
  return body.every((cell) => /^([\d.,]+ ?[x%]?)?$/.test(cell)) && body.some((cell) => cell !== '');
}

function padded(cells: readonly string[][], column: number): string[] {
  const width = Math.max(...cells.map((row) => row[column]!.length));
  const right = isNumeric(cells, column);
  return cells.map((row) => (right ? row[column]!.padStart(width) : row[column]!.padEnd(width)));
}

const transposed = (columns: readonly string[][]): string[][] =>
  (columns[0] ?? []).map((_, row) => columns.map((column) => column[row]!));

/** Text in aligned columns, for a terminal: words to the left, numbers to the right. */
export function formatTable<Row>(columns: readonly Column<Row>[], rows: readonly Row[]): string {
  const cells = cellsOf(columns, rows);
  return transposed(columns.map((_, at) => padded(cells, at)))
    .map((row) => row.join('  ').trimEnd())
    .join('\n');
}

/** The same as a Markdown table. */
export function formatMarkdown<Row>(columns: readonly Column<Row>[], rows: readonly Row[]): string {
  const cells = cellsOf(columns, rows);
  const texts = columns.map((_, at) => padded(cells, at));
  const rule = texts.map((text, at) => {
    const width = Math.max(3, text[0]!.length);
    return isNumeric(cells, at) ? `${'-'.repeat(width - 1)}:` : '-'.repeat(width);
  });
  const lines = transposed(texts.map((text, at) => text.map((cell) => cell.padEnd(rule[at]!.length))));
  return [lines[0]!, rule, ...lines.slice(1)].map((row) => `| ${row.join(' | ')} |`).join('\n');
}
