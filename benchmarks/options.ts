import { parseArgs } from 'node:util';
import { native } from '../lib/native.js';
import { checkSection } from './publish.js';
import { shapeSets } from './shapes.js';

export const suites = ['kernels', 'networks', 'training', 'sweep', 'overhead'] as const;
export type Suite = (typeof suites)[number];

export const usage = `npm run bench -- ${suites.join('|')} [options]

  --peers               other libraries, too, where they are installed (npm run bench:peers)
  --contenders pattern  of those, the ones whose names match the regular expression; groupconv always
  --filter pattern      layers or networks whose names match the regular expression
  --batch n,n           images at a time
  --shapes name         kernels: ${shapeSets().join(', ')}
  --only text           kernels: passes, sweep: works whose names contain it
  --all                 kernels: every solver that accepts a layer, not only the chosen one
  --rounds n            how often contenders take turns
  --retries n           how often a noisy measurement is made again: 3 for kernels, 0 for networks by default
  --seconds x           of each contender in a round
  --threads n           for every contender
  --json file           everything measured, every sample
  --svg file            a chart
  --markdown            tables as Markdown
  --publish name        table and chart into the section of this name of benchmarks/README.md
  --help                this`;

export interface Options {
  suite: Suite;
  peers: boolean;
  contenders: RegExp;
  filter: RegExp;
  /** What --batch says; suites have their own default. */
  batches: number[] | null;
  shapes: string;
  only: string;
  all: boolean;
  rounds: number | null;
  retries: number | null;
  seconds: number | null;
  threads: number;
  json?: string;
  svg?: string;
  markdown: boolean;
  publish?: string;
}

function positive(name: string, text: string, whole: boolean): number {
  const value = Number(text);
  if (!(value > 0) || (whole && !Number.isInteger(value)))
    throw new Error(`--${name}: expected a ${whole ? 'whole ' : ''}number above 0, found "${text}"`);
  return value;
}

/** Null where the usage is asked for. @throws Error that says what is wrong with the command line */
export function parseOptions(args: string[]): Options | null {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      peers: { type: 'boolean', default: false },
      contenders: { type: 'string', default: '' },
      filter: { type: 'string', default: '' },
      batch: { type: 'string' },
      shapes: { type: 'string', default: 'resnext50_32x4d' },
      only: { type: 'string', default: '' },
      all: { type: 'boolean', default: false },
      rounds: { type: 'string' },
      retries: { type: 'string' },
      seconds: { type: 'string' },
      threads: { type: 'string' },
      json: { type: 'string' },
      svg: { type: 'string' },
      markdown: { type: 'boolean', default: false },
      publish: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  const { help, ...given } = values;
  if (help) return null;
  const [suite = 'kernels', ...rest] = positionals;
  if (!suites.includes(suite as Suite) || rest.length > 0)
    throw new Error(`expected one suite of ${suites.join(', ')}, found "${positionals.join(' ')}"`);
  if (!shapeSets().includes(values.shapes))
    throw new Error(`--shapes: expected one of ${shapeSets().join(', ')}, found "${values.shapes}"`);
  if (values.svg !== undefined && suite === 'overhead') throw new Error('--svg: overhead has no chart');
  if (values.publish !== undefined) checkSection(values.publish);
  const number = (name: 'rounds' | 'seconds', whole: boolean) =>
    values[name] === undefined ? null : positive(name, values[name], whole);
  return {
    ...given,
    suite: suite as Suite,
    contenders: new RegExp(values.contenders),
    filter: new RegExp(values.filter),
    batches: values.batch?.split(',').map((text) => positive('batch', text, true)) ?? null,
    rounds: number('rounds', true),
    retries:
      values.retries === undefined
        ? null
        : values.retries === '0'
          ? 0
          : positive('retries', values.retries, true),
    seconds: number('seconds', false),
    threads: values.threads === undefined ? native.threads() : positive('threads', values.threads, true),
  };
}
