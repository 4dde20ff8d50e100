/** Puts a suite's table where it is read: between markers of README.md, with its chart in results/. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));
const readme = here('./README.md');

/** The text with what stands between `<!-- name -->` and `<!-- /name -->` replaced. @throws Error without markers */
export function withSection(text: string, name: string, content: string): string {
  const [begin, end] = [`<!-- ${name} -->`, `<!-- /${name} -->`];
  const [from, to] = [text.indexOf(begin), text.indexOf(end)];
  if (from < 0 || to < from) throw new Error(`no section ${begin} … ${end}`);
  return `${text.slice(0, from + begin.length)}\n\n${content.trim()}\n\n${text.slice(to)}`;
}

/** What takes hours to measure must have its place before. @throws Error without the section */
export function checkSection(name: string): void {
  withSection(readFileSync(readme, 'utf8'), name, '');
}

export function publish(name: string, content: string, svg: string | null): void {
  const chart = svg ? `\n\n![${name}](results/${name}.svg)` : '';
  const text = withSection(readFileSync(readme, 'utf8'), name, content + chart);
  if (svg) {
    mkdirSync(here('./results/'), { recursive: true });
    writeFileSync(here(`./results/${name}.svg`), `${svg}\n`);
  }
  writeFileSync(readme, text);
}
