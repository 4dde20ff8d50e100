import cliProgress from 'cli-progress';
import { native } from '../lib/native.js';
import { type Layer, leastBytes, multiplyAdds, readShapes } from './shapes.js';

export const passes = ['forward', 'gradInput', 'gradWeight'] as const;
export type Pass = (typeof passes)[number];

export interface KernelRow {
  layer: string;
  pass: Pass;
  solver: string;
  /** Whether conv2d would choose this solver. */
  chosen: boolean;
  minSeconds: number;
  medianSeconds: number;
  gflops: number;
  /** Of the multiply-add peak measured beside it, in percent. */
  percentOfPeak: number;
  gigabytesPerSecond: number;
}

export interface KernelOptions {
  shapes: string;
  filter: string;
  batch: number;
  threads: number;
  /** Seconds for each solver of each layer and pass. */
  budget: number;
}

function measure(layer: Layer, pass: Pass, options: KernelOptions): KernelRow[] {
  const { batch, threads } = options;
  const { c, h, w, k, r, s, stride, padding, groups } = layer;
  const problem = Int32Array.of(
    batch,
    c,
    h,
    w,
    k,
    r,
    s,
    groups,
    passes.indexOf(pass),
    stride,
    stride,
    1,
    1,
    padding,
    padding,
    padding,
    padding,
  );
  // The peak before and after: the machine may not be quiet.
  const before = native.measurePeak(threads);
  const rows = native.measureSolvers(problem, threads, options.budget);
  const peak = Math.max(before, native.measurePeak(threads));
  const flop = 2 * multiplyAdds(layer, batch);
  return rows.map(([solver, minSeconds, medianSeconds], index) => ({
    layer: layer.name,
    pass,
    solver,
    chosen: index === 0,
    minSeconds,
    medianSeconds,
    gflops: flop / minSeconds / 1e9,
    percentOfPeak: (100 * flop) / minSeconds / peak,
    gigabytesPerSecond: leastBytes(layer, batch) / minSeconds / 1e9,
  }));
}

/** Times every solver of every layer of a shape file in all three passes. */
export function measureKernels(options: KernelOptions): KernelRow[] {
  const layers = readShapes(options.shapes).filter((layer) => layer.name.includes(options.filter));
  const bar = new cliProgress.SingleBar(
    { format: '{bar} {value}/{total} {layer}', clearOnComplete: true, noTTYOutput: false },
    cliProgress.Presets.shades_classic,
  );
  bar.start(layers.length * passes.length, 0, { layer: '' });
  const rows: KernelRow[] = [];
  for (const layer of layers)
    for (const pass of passes) {
      bar.update({ layer: `${layer.name} ${pass}` });
      rows.push(...measure(layer, pass, options));
      bar.increment();
    }
  bar.stop();
  return rows;
}
