/** The benchmarks' command, as a user gives it: every suite once, on little work. */
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import test from 'ava';

const program = fileURLToPath(new URL('../../benchmarks/main.ts', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'groupconv-bench-'));
test.after.always(() => rmSync(folder, { recursive: true }));

const bench = (...args: string[]) =>
  promisify(execFile)(process.execPath, ['--import=tsx', program, ...args], { timeout: 240_000 });
const brief = ['--rounds', '1', '--retries', '0', '--seconds', '0.01', '--threads', '1'];

interface Row {
  contender: string;
  min: number;
  median: number;
  percentOfPeak: number;
}
function report(name: string): { command: string; machine: Record<string, unknown>; rows: Row[] } {
  return JSON.parse(readFileSync(join(folder, name), 'utf8'));
}

test.serial('kernels: a table, JSON and a chart, the machine and its peak in them', async (t) => {
  const files = ['--json', join(folder, 'kernels.json'), '--svg', join(folder, 'kernels.svg')];
  const { stdout } = await bench('kernels', '--shapes', 'smallest', '--batch', '1', ...brief, ...files);
  const { command, machine, rows } = report('kernels.json');
  t.regex(command, /^kernels --shapes smallest/);
  t.true(Number(machine.peakGflops) > 0);
  t.is(rows.length % 3, 0);
  for (const { contender, min, median, percentOfPeak } of rows) {
    t.is(contender, 'groupconv');
    t.true(min > 0 && median >= min && percentOfPeak > 0);
  }
  t.regex(stdout, /multiply-add peak \d+ GFLOP\/s/);
  t.regex(stdout, /forward[\s\S]*gradInput[\s\S]*gradWeight/);
  t.regex(readFileSync(join(folder, 'kernels.svg'), 'utf8'), /^<svg[\s\S]*<\/svg>\s*$/);
});

test.serial('networks and training: one row per network', async (t) => {
  for (const suite of ['networks', 'training']) {
    const files = ['--json', join(folder, `${suite}.json`)];
    await bench(suite, '--filter', 'mobilenet', '--batch', '1', ...brief, ...files);
    const { rows } = report(`${suite}.json`);
    t.is(rows.length, 1);
    t.true(rows[0]!.min > 0);
  }
});

test.serial('a wrong call is told, with the usage, and exits with 2', async (t) => {
  const error = await t.throwsAsync(bench('kernels', '--shapes', 'none'));
  t.is((error as unknown as { code: number }).code, 2);
  t.regex((error as unknown as { stderr: string }).stderr, /none[\s\S]*npm run bench -- kernels/);
});
