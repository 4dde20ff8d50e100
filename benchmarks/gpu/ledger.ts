/** The report on disk while it grows: what is there when the time is up, or when a process dies, stays there. */
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { withPulse } from './pulse.js';
import type { GpuReport } from './report.js';
import type { KernelIdentity, KernelRow, NetworkIdentity, NetworkRow } from './rows.js';

interface Rows {
  kernels: { identity: KernelIdentity; row: KernelRow };
  networks: { identity: NetworkIdentity; row: NetworkRow };
}
type Kind = keyof Rows;

export const emptyReport = (): GpuReport => ({
  device: {},
  torch: null,
  bandwidthGigabytes: null,
  matrix: [],
  steps: [],
  kernels: [],
  networks: [],
  absent: [],
  unreached: null,
  current: null,
});

export const reportFile = (folder: string): string => join(folder, 'report.json');

export function readReport(folder: string): GpuReport {
  const file = reportFile(folder);
  return existsSync(file) ? { ...emptyReport(), ...JSON.parse(readFileSync(file, 'utf8')) } : emptyReport();
}

/** Complete or not at all. */
export function writeReport(folder: string, report: GpuReport): void {
  mkdirSync(folder, { recursive: true });
  const file = reportFile(folder);
  writeFileSync(`${file}.part`, `${JSON.stringify(report, null, 1)}\n`);
  renameSync(`${file}.part`, file);
}

/** What a later run has to measure anew is left out. */
export function withoutFailures(report: GpuReport): GpuReport {
  const done = ({ seconds }: { seconds?: number }) => seconds !== undefined;
  return {
    ...report,
    kernels: report.kernels.filter(done),
    networks: report.networks.filter(done),
    absent: report.matrix.length ? report.absent : report.absent.filter((key) => key !== 'peaks'),
    current: null,
  };
}

/** A device that has failed once fails at everything else until the process ends. */
export class BrokenDevice extends Error {}

export const keyOf = (kind: Kind, row: object): string => {
  const { layer, batch, network, work, n, precision, pass, by } = row as Record<string, unknown>;
  return [kind, layer ?? network, batch ?? n, precision, pass ?? work, by].join(' ');
};

/** What several rows are about: a layer's case by whomever, a network by one of them. */
const caseOf = (kind: Kind, row: object): string =>
  keyOf(kind, kind === 'kernels' ? { ...row, by: '' } : row);

export class Ledger {
  readonly report: GpuReport;
  readonly #folder: string;
  readonly #done: Set<string>;
  #expected: Map<string, { kind: Kind; of: string }> | null = null;

  /** @param ended how the process before this one ended, whose row was not finished */
  constructor(folder: string, ended = 'the process ended') {
    this.#folder = folder;
    this.report = readReport(folder);
    const { current, kernels, networks, absent } = this.report;
    if (current) {
      const { kind, ...row } = current;
      (this.report[kind] as object[]).push({ ...row, failure: ended });
      this.report.current = null;
    }
    this.#done = new Set([
      ...kernels.map((row) => keyOf('kernels', row)),
      ...networks.map((row) => keyOf('networks', row)),
      ...absent,
    ]);
  }

  /** Tells which rows there should be: the report says how many of them have not been reached yet. */
  expect(tasks: readonly { kind: Kind; identity: object }[]): void {
    this.#expected = new Map(
      tasks.map(({ kind, identity }) => [keyOf(kind, identity), { kind, of: caseOf(kind, identity) }]),
    );
    this.save();
  }

  save(): void {
    if (this.#expected) this.report.unreached = this.#unreached(this.#expected);
    writeReport(this.#folder, this.report);
  }

  /**
   * Measures a row and writes it down, unless that has been done. `measure` answers null where there is no such row, as
   * for a solver that doesn't take the problem. @throws BrokenDevice
   */
  async row<K extends Kind>(
    kind: K,
    identity: Rows[K]['identity'] & Partial<Rows[K]['row']>,
    measure: () => Promise<Partial<Rows[K]['row']> | null>,
  ): Promise<void> {
    const key = keyOf(kind, identity);
    if (this.#done.has(key)) return;
    this.report.current = { kind, ...identity } as GpuReport['current'];
    this.save();
    let broken = false;
    let found: object | null;
    try {
      found = await withPulse(key, measure);
    } catch (error) {
      const { code, message } = error as Error & { code?: string };
      found = { failure: message };
      broken = code === 'DEVICE_FAILURE';
    }
    if (found) (this.report[kind] as object[]).push({ ...identity, ...found });
    else this.report.absent.push(key);
    this.report.current = null;
    this.#done.add(key);
    this.save();
    const { seconds, failure } = (found ?? {}) as { seconds?: number; failure?: string };
    if (found) console.log(`${key}: ${seconds ? `${(seconds * 1e6).toFixed(1)} us` : failure}`);
    if (broken) throw new BrokenDevice(`${key}: ${failure}`);
  }
  #unreached(expected: Map<string, { kind: Kind; of: string }>): GpuReport['unreached'] {
    const count = (kind: Kind) => {
      const [all, left] = [new Set<string>(), new Set<string>()];
      for (const [key, each] of expected) {
        if (each.kind !== kind) continue;
        all.add(each.of);
        if (!this.#done.has(key)) left.add(each.of);
      }
      return { left: left.size, of: all.size };
    };
    return { kernels: count('kernels'), networks: count('networks') };
  }
}
