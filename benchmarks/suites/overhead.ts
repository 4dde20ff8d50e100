/**
 * What TypeScript costs: queueing one operator, a whole network from one `await` to the next, and what capturing saves.
 */
import {
  add,
  conv2d,
  manualSeed,
  noGrad,
  randn,
  relu,
  resnext50_32x4d,
  scope,
  setNumThreads,
  synchronize,
  type Tensor4D,
} from '../../lib/index.js';
import type { Options } from '../options.js';
import { startProgress } from '../progress.js';
import type { Report } from '../report.js';
import { summarise } from '../statistics.js';
import { type Column, formatMarkdown, formatTable } from '../table.js';
import { measureCaptured } from './captured.js';

interface OverheadRow {
  what: string;
  value: number;
  unit: string;
  samples: number[];
}

const columns: Column<OverheadRow>[] = [
  { title: 'what', cell: ({ what }) => what },
  { title: 'median', cell: ({ value }) => value.toFixed(3) },
  { title: 'unit', cell: ({ unit }) => unit },
];

/** Few enough that the bounded queue never makes the producer wait. */
const opsAtOnce = 100;

/** Microseconds that one call takes until it returns, its work queued. */
async function queueing(op: (x: Tensor4D) => Tensor4D, x: Tensor4D, repeats: number): Promise<number[]> {
  const samples: number[] = [];
  for (let run = -20; run < repeats; run++) {
    let microseconds = 0;
    scope(() => {
      const start = performance.now();
      for (let i = 0; i < opsAtOnce; i++) op(x);
      microseconds = ((performance.now() - start) * 1000) / opsAtOnce;
    });
    await synchronize();
    if (run >= 0) samples.push(microseconds);
  }
  return samples;
}

interface Forward {
  queued: number[];
  alone: number[];
  inFlight: number[];
}

/**
 * Milliseconds of a forward pass: until it was queued; until its result was there; and each of several queued one after
 * the other. The last is what the device needs when everything was submitted before: with no TypeScript in its way.
 */
async function forwardPasses(rounds: number): Promise<Forward> {
  manualSeed(1);
  const model = resnext50_32x4d({ zeroInitResidual: false });
  model.eval();
  const images = randn([1, 3, 224, 224]);
  const forward = () => scope(() => void noGrad(() => model.forward(images)));
  const times: Forward = { queued: [], alone: [], inFlight: [] };
  const together = 8;
  for (let round = -2; round < rounds; round++) {
    const start = performance.now();
    forward();
    const queued = performance.now() - start;
    await synchronize();
    const alone = performance.now() - start;
    // One more ahead of the timed ones, so that the device never waits for the queue.
    forward();
    const ahead = synchronize();
    for (let i = 0; i < together; i++) forward();
    const all = synchronize();
    await ahead;
    const begin = performance.now();
    await all;
    const inFlight = (performance.now() - begin) / together;
    if (round < 0) continue;
    times.queued.push(queued);
    times.alone.push(alone);
    times.inFlight.push(inFlight);
  }
  model.dispose();
  images.dispose();
  return times;
}

export async function measureOverhead(options: Options): Promise<Report> {
  setNumThreads(options.threads);
  const x = randn([1, 16, 4, 4]);
  const weight = randn([16, 4, 3, 3]);
  const ops: Record<string, (x: Tensor4D) => Tensor4D> = {
    relu: (x) => relu(x),
    add: (x) => add(x, x),
    conv2d: (x) => conv2d(x, weight, { padding: 1, groups: 4 }),
  };
  const progress = startProgress(Object.keys(ops).length + 2);
  const rows: OverheadRow[] = [];
  const push = (what: string, unit: string, samples: number[]) =>
    rows.push({ what, unit, samples, value: summarise(samples).median });
  try {
    for (const [name, op] of Object.entries(ops)) {
      progress.next(name);
      push(`${name} of [1, 16, 4, 4], queued`, 'us', await queueing(op, x, 200));
    }
    progress.next('resnext50_32x4d');
    const { queued, alone, inFlight } = await forwardPasses(options.rounds ?? 15);
    push('resnext50_32x4d forward, batch 1: queued', 'ms', queued);
    push('resnext50_32x4d forward, batch 1: alone, until its result is there', 'ms', alone);
    push('resnext50_32x4d forward, batch 1: behind others, all submitted before', 'ms', inFlight);
    const over = alone.map((time, i) => 100 * (time / inFlight[i]! - 1));
    push('alone over behind others', '%', over);
    progress.next('captured');
    for (const { what, samples } of await measureCaptured(options.rounds ?? 15)) push(what, 'ms', samples);
  } finally {
    progress.stop();
    x.dispose();
    weight.dispose();
  }
  return {
    title: 'what TypeScript costs',
    table: { text: formatTable(columns, rows), markdown: formatMarkdown(columns, rows) },
    rows,
    chart: null,
    versions: {},
    missing: [],
  };
}
