/** The report's tables and chart, from its JSON. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { speedChart } from '../charts.js';
import { readReport } from './ledger.js';
import { type GpuReport, toMarkdown } from './report.js';

/** Images a second of every network. */
function networkChart({ networks }: GpuReport) {
  return speedChart(
    networks.flatMap(({ network, work, n, precision, by, seconds }) =>
      seconds
        ? [
            {
              what: `${network}, ${work === 'training' ? 'training step' : work}, batch ${n}, ${precision}`,
              by,
              imagesPerSecond: n / seconds,
            },
          ]
        : [],
    ),
  );
}

/** Writes report.md and report.svg beside report.json. Says what is missing: drawing needs packages that may not be here. */
export async function render(folder: string): Promise<string | null> {
  const report = readReport(folder);
  writeFileSync(join(folder, 'report.md'), toMarkdown(report));
  if (!report.networks.some(({ seconds }) => seconds)) return 'no chart: no network has been measured';
  let toSvg: typeof import('../svg.js').toSvg;
  try {
    ({ toSvg } = await import('../svg.js'));
  } catch (error) {
    return `no chart: ${(error as Error).message.split('\n')[0]}; elsewhere, npm run gpu:check -- --render ${folder} draws it`;
  }
  writeFileSync(join(folder, 'report.svg'), `${await toSvg(networkChart(report))}\n`);
  return null;
}
