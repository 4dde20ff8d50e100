// What gpu:check's report makes of rows: lines, goals with their verdicts, and tables. The rows are made up.
import test from 'ava';
import { goals, layerSets, targetOf } from '../../benchmarks/gpu/goals.js';
import { emptyReport } from '../../benchmarks/gpu/ledger.js';
import { kernelLines, matrixRate } from '../../benchmarks/gpu/lines.js';
import { type GpuReport, kernelTable, sums, toConsole, toMarkdown } from '../../benchmarks/gpu/report.js';
import { type KernelRow, type NetworkRow, type Pass, passes } from '../../benchmarks/gpu/rows.js';
import { linesOf, verdicts } from '../../benchmarks/gpu/verdicts.js';
import { readShapes } from '../../benchmarks/shapes.js';
import { Conv2d, mobilenet_v1, resnext50_32x4d } from '../../lib/index.js';

const row = (by: string, seconds: number | undefined, more: Partial<KernelRow> = {}): KernelRow => ({
  ...{ layer: 'conv2_3x3', batch: 256, precision: 'bfloat16', pass: 'forward', by },
  ...(seconds === undefined ? { failure: 'no memory' } : { seconds }),
  ...{ bytes: 1e6, flops: 1e9 },
  ...more,
});
const network = (by: string, work: NetworkRow['work'], n: number, seconds: number): NetworkRow => ({
  ...{ network: 'resnext50_32x4d', work, n, precision: 'bfloat16', by, seconds },
});

/** Every layer by three: own kernels take `own[pass]` microseconds, cuDNN twice and PyTorch three times as long. */
function everyLayer(own: Record<Pass, number>): KernelRow[] {
  const layers = Object.values(layerSets).flatMap(({ times }) => Object.keys(times));
  return layers.flatMap((layer) =>
    passes.flatMap((pass) =>
      [1, 2, 3].map((times) =>
        row(['own', 'cudnn', 'PyTorch'][times - 1] as string, times * own[pass] * 1e-6, { layer, pass }),
      ),
    ),
  );
}
const report = (more: Partial<GpuReport>): GpuReport => ({
  ...emptyReport(),
  bandwidthGigabytes: 20,
  ...more,
});
const verdictsOf = (more: Partial<GpuReport>) =>
  verdicts(report(more)).map(({ verdict, measured }) => [verdict, Number(measured.toFixed(3))] as const);

const groupsOf = ({ geometry }: Conv2d) => geometry.at(-1) as number;
test('a layer is counted as often as its network has it', (t) => {
  for (const [set, model, shapes] of [
    ['grouped', resnext50_32x4d(), 'resnext50_32x4d'],
    ['depthwise', mobilenet_v1(), 'mobilenet_v1'],
  ] as const) {
    const convolutions = [...model.modules()].filter((each) => each instanceof Conv2d && groupsOf(each) > 1);
    const times: Record<string, number> = layerSets[set].times;
    const layers = readShapes(shapes).filter(({ groups }) => groups > 1);
    t.deepEqual(layers.map(({ name }) => name).sort(), Object.keys(times).sort());
    // As many of each size as the model has: [channels, filters, groups, stride].
    const key = (...numbers: number[]) => numbers.join(' ');
    const counted = new Map<string, number>();
    for (const { name, c, k, groups, stride } of layers) {
      const size = key(c, k, groups, stride);
      counted.set(size, (counted.get(size) ?? 0) + (times[name] as number));
    }
    const had = new Map<string, number>();
    for (const each of convolutions as Conv2d[]) {
      const [k, perGroup] = each.weight.shape;
      const size = key(perGroup * groupsOf(each), k, groupsOf(each), each.geometry[0] as number);
      had.set(size, (had.get(size) ?? 0) + 1);
    }
    t.deepEqual([...counted].sort(), [...had].sort());
    model.dispose();
  }
});

test("a line sets the library's fastest beside its own kernels, cuDNN and PyTorch", (t) => {
  const engines = [2e-4, 3e-4, 9.1e-4].map((seconds, i) => ({ name: `fused engine ${3 + i}`, seconds }));
  const rows = [row('grouped3x3', 4e-4), row('cudnn', 2e-4, { engine: 'fused engine 3', engines })];
  const [line, ...others] = kernelLines([...rows, row('PyTorch', 3e-4), row('direct', undefined)]);
  t.deepEqual(others, []);
  t.is(line?.ours?.by, 'cudnn');
  t.is(line?.own?.by, 'grouped3x3');
  t.deepEqual(line?.failures, ['direct: no memory']);
  const matrix = [{ precision: 'bfloat16' as const, by: 'PyTorch', teraflops: 50 }];
  // 1e6 bytes in 2e-4 s of 20 GB/s; 1e9 operations in 2e-4 s of 50 TFLOP/s; 2/4 of cuDNN's time; 3/2 of PyTorch's
  t.regex(
    kernelTable(report({ kernels: [...rows, row('PyTorch', 3e-4)], matrix })),
    /conv2_3x3 .* cudnn .* 200\.0 .* 25 .* 10\.0 .* 400\.0 .* 200\.0 .*fused engine 3 .* 3: 200\.0-910\.0 .* 300\.0 .* 0\.50 .* 1\.50/,
  );
});

test('goals: sums with multiplicity, geometric means, bandwidth', (t) => {
  // 16 layers of 93.7 us are 1.4992 ms; 101 us each are too long for 1.6; 118 us are short of 1.9 by a little
  const kernels = everyLayer({ forward: 93.7, gradInput: 101, gradWeight: 118 });
  const found = verdictsOf({ kernels });
  t.deepEqual(found.slice(0, 3), [
    ['met', 1.499],
    ['short', 1.616],
    ['met', 1.888],
  ]);
  // twice cuDNN's speed: 2 are wanted, 1.5, 1.5; three times PyTorch's
  t.deepEqual(found.slice(3, 9), [
    ['met', 2],
    ['met', 2],
    ['met', 2],
    ['met', 3],
    ['met', 3],
    ['met', 3],
  ]);
  // 1e6 bytes in 93.7 us are 10.7 of 20 GB/s; to the better of cuDNN and PyTorch 2 times
  t.deepEqual(found.slice(9, 15), [
    ...[
      ['short', 53.362],
      ['short', 49.505],
      ['short', 42.373],
    ],
    ...[
      ['met', 2],
      ['met', 2],
      ['met', 2],
    ],
  ] as never);
  const slower = everyLayer({ forward: 93.76, gradInput: 99.9, gradWeight: 118.8 });
  t.deepEqual(
    verdictsOf({ kernels: slower })
      .slice(0, 3)
      .map(([verdict]) => verdict),
    ['short', 'met', 'short'],
  );
  t.deepEqual(verdictsOf({ kernels, bandwidthGigabytes: 13.3 })[9], ['met', 80.243]);
  // A layer that the network has five times weighs five times.
  const uneven = kernels.map((each) =>
    each.layer === 'conv4_3x3' && each.by === 'own'
      ? { ...each, seconds: (each.seconds as number) / 2 }
      : each,
  );
  t.deepEqual(verdictsOf({ kernels: uneven })[0], ['met', Number((13.5 * 0.0937).toFixed(3))]);
  t.deepEqual(verdictsOf({ kernels: uneven })[3], ['met', Number((2 * 2 ** (5 / 16)).toFixed(3))]);
});

test('goals: that cuDNN is as fast as itself is no merit of ours', (t) => {
  const kernels = everyLayer({ forward: 90, gradInput: 90, gradWeight: 90 }).map((each) =>
    each.by === 'cudnn' ? { ...each, seconds: 45e-6 } : each,
  );
  const found = verdictsOf({ kernels });
  t.deepEqual(found[0], ['met', 0.72]); // cuDNN's time: the library takes it
  t.deepEqual(found[3], ['short', 0.5]); // our kernel's
});

test('goals: what has not been measured is not met', (t) => {
  t.true(verdictsOf({}).every(([verdict]) => verdict === 'not measured'));
  const kernels = everyLayer({ forward: 1, gradInput: 1, gradWeight: 1 });
  const lacking = kernels.filter(({ layer, pass }) => layer !== 'conv5_3x3' || pass !== 'forward');
  t.is(linesOf(lacking, 'grouped', 'forward'), null);
  t.is(verdictsOf({ kernels: lacking })[0]?.[0], 'not measured');
  const failed = kernels.map((each) =>
    each.layer === 'dw7' && each.by === 'cudnn' && each.pass === 'forward'
      ? { ...each, seconds: undefined, failure: 'no memory' }
      : each,
  );
  t.like(verdicts(report({ kernels: failed }))[12], {
    verdict: 'open',
    note: 'met against cuDNN, PyTorch; cuDNN not measured everywhere',
  });
  t.like(verdicts(report({ kernels: kernels.filter(({ by }) => by !== 'PyTorch') }))[12], {
    verdict: 'open',
    note: 'met against cuDNN; PyTorch not measured',
  });
  const slow = kernels.map((each) => (each.by === 'cudnn' ? { ...each, seconds: 1e-6 } : each));
  t.like(verdicts(report({ kernels: slow.filter(({ by }) => by !== 'PyTorch') }))[12], {
    verdict: 'short', // whatever PyTorch takes
    measured: 1,
  });
  const other = kernels.map((each) => ({ ...each, precision: 'tf32' as const }));
  t.is(verdictsOf({ kernels: other })[0]?.[0], 'not measured');
});

test('goals: networks, and the best of PyTorch', (t) => {
  const networks = [
    network('groupconv', 'inference', 256, 0.0103),
    network('groupconv, autotuned', 'inference', 256, 0.0102),
    network('torch.compile', 'inference', 256, 0.0101),
    network('PyTorch eager', 'inference', 256, 0.02),
    network('groupconv, captured', 'inference', 1, 0.00044),
    network('groupconv', 'training', 256, 0.06),
    network('PyTorch eager', 'training', 256, 0.0601),
  ];
  t.deepEqual(verdictsOf({ networks }).slice(15), [
    ['met', Number((256 / 0.0102).toFixed(3))],
    ['met', 0.44],
    ['short', Number((256 / 0.06).toFixed(3))],
    ['short', 0.99],
    ['not measured', Number.NaN],
    ['open', 1.002],
  ]);
});

test("goals: PyTorch's best is known when its compiler was measured, too", (t) => {
  const ours = network('groupconv', 'training', 256, 0.06);
  const slower = (by: string) => network(by, 'training', 256, 0.07);
  const failed = { ...slower('torch.compile'), seconds: undefined, failure: 'no answer within 80 s' };
  const [eager, captured, compile] = ['PyTorch eager', 'PyTorch captured', 'torch.compile'].map(slower) as [
    NetworkRow,
    NetworkRow,
    NetworkRow,
  ];
  const last = (...theirs: NetworkRow[]) => verdicts(report({ networks: [ours, ...theirs] })).at(-1);
  t.like(last(eager, compile), { verdict: 'met', note: undefined });
  t.like(last(captured, compile), { verdict: 'met', note: undefined });
  const noCompiler = 'met against PyTorch eager; torch.compile not measured';
  t.like(last(eager), { verdict: 'open', note: noCompiler });
  t.like(last(eager, failed), { verdict: 'open', note: noCompiler });
  t.like(last(compile), {
    verdict: 'open',
    note: 'met against torch.compile; PyTorch eager not measured',
  });
  t.like(last({ ...eager, seconds: 0.05 }), { verdict: 'short' }); // whatever the compiler makes of it
  const text = toConsole(report({ networks: [ours, eager] }));
  t.regex(text, new RegExp(`^open .* at least 1 x PyTorch's best .* ${noCompiler}$`, 'm'));
});

test("the issue's goals, in words", (t) => {
  t.is(goals.length, 21);
  t.is(targetOf(goals[0] as (typeof goals)[0]), 'at most 1.5 ms');
  t.is(targetOf(goals[3] as (typeof goals)[0]), 'at least 2 x cuDNN');
});

test("the matrix rate is the best that anybody reached; float16's is bfloat16's", (t) => {
  const rates = [
    { precision: 'bfloat16', by: 'cuDNN', teraflops: 600 } as const,
    { precision: 'bfloat16', by: 'PyTorch', teraflops: 700 } as const,
    { precision: 'tf32', by: 'cuDNN', teraflops: 300 } as const,
  ];
  t.is(matrixRate(rates, 'float16')?.teraflops, 700);
  t.is(matrixRate(rates, 'tf32')?.by, 'cuDNN');
  t.is(matrixRate(rates, 'float32'), undefined);
});

test('the console ends with the networks and then the goals; the report tells of steps that failed', (t) => {
  const all = report({
    device: { name: 'a device', reason: '' },
    steps: [
      { name: 'one', outcome: 'passed', seconds: 1, tail: 'silence' },
      { name: 'two', outcome: 'failed (1)', seconds: 2, tail: 'the last words' },
    ],
    kernels: everyLayer({ forward: 90, gradInput: 90, gradWeight: 90 }),
    networks: [network('groupconv', 'inference', 256, 0.01)],
  });
  const lines = toConsole(all).split('\n');
  const at = (pattern: RegExp) => lines.findIndex((line) => pattern.test(line));
  t.true(at(/^two +failed/) < at(/resnext50_32x4d +inference +256.*10\.000 +25600/));
  t.true(at(/resnext50_32x4d +inference +256/) < at(/^met +16 grouped.*forward +at most 1\.5 ms +1\.44 ms/));
  t.regex(lines.at(-3) as string, /^not measured +resnext50_32x4d training/);
  t.deepEqual(lines.slice(-2), ['', 'two: failed (1)']);
  const text = toMarkdown(all);
  t.true(text.includes('the last words') && !text.includes('silence') && text.includes('name a device'));
  t.true(
    sums(all).includes(
      '16 grouped layers of ResNeXt-50, bfloat16, batch 256, forward: 1.440 ms, own kernels 2.00 x cuDNN, 3.00 x PyTorch',
    ),
  );
});

test('the last rows tell what was not run, and what there was no time for', (t) => {
  const all = report({
    steps: [
      { name: 'one', outcome: 'passed', seconds: 1 },
      { name: 'sanitizer', outcome: 'not run: it is nowhere', seconds: 0 },
    ],
    unreached: { kernels: { left: 131, of: 288 }, networks: { left: 0, of: 26 } },
  });
  const rows = [
    'sanitizer: not run: it is nowhere',
    'not reached: 131 of 288 cases of layers; "npm run gpu:check -- --continue --only measure" goes on with them',
  ];
  t.deepEqual(toConsole(all).split('\n').slice(-2), rows);
  for (const text of rows) t.true(toMarkdown(all).includes(`- ${text}\n`));
  const complete = {
    ...all,
    steps: [],
    unreached: { kernels: { left: 0, of: 288 }, networks: { left: 0, of: 26 } },
  };
  t.regex(toConsole(complete).split('\n').at(-1) as string, /^not measured +resnext50_32x4d training/);
});

test('an engine that nobody has measured is not called the fastest', (t) => {
  const kernels = everyLayer({ forward: 90, gradInput: 90, gradWeight: 90 }).map((each) => ({
    ...each,
    batch: 32,
    ...(each.by === 'own' ? {} : { untuned: true as const }),
  }));
  t.regex(kernelTable(report({ kernels })), /conv2_3x3 .* 180\.0 .*its first choice/);
  t.regex(sums(report({ kernels }))[0] as string, /2\.00 x cuDNN, 3\.00 x PyTorch \(untuned\)$/);
});
