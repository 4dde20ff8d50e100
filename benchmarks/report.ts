/** What a suite hands back, and how it is shown. */
import type { TopLevelSpec } from 'vega-lite';
import type { Contender } from './contenders.js';
import type { Entrant } from './contest.js';

export interface Report {
  title: string;
  /** In these formats, ready to print. */
  table: { text: string; markdown: string };
  /** Everything measured. */
  rows: object[];
  chart: TopLevelSpec | null;
  /** Libraries and their versions. */
  versions: Record<string, string>;
  /** Contenders whose library isn't installed. */
  missing: string[];
}

/** "PyTorch jit" is of the library PyTorch. */
export const libraryOf = (contender: string): string => contender.split(' ')[0] as string;

export function versionsOf(entrants: readonly Entrant[]): Record<string, string> {
  return Object.fromEntries(
    entrants
      .filter(({ version }) => version)
      .map(({ contender, version }) => [libraryOf(contender.name), version]),
  );
}

export function missingOf(contenders: readonly Contender[]): string[] {
  return [...new Set(contenders.filter(({ program }) => !program).map(({ name }) => libraryOf(name)))];
}
