// gpu:check's measurements, on whatever device there is: an emulator does for all but the numbers.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import test from 'ava';
import { isGrouped, leastBytes, measureSolver, setsOf, solversOf } from '../../benchmarks/gpu/kernels.js';
import { readReport, writeReport } from '../../benchmarks/gpu/ledger.js';
import { measureNetwork } from '../../benchmarks/gpu/networks.js';
import { measureCopy, measureMatrixRates } from '../../benchmarks/gpu/peaks.js';
import { TorchPeer } from '../../benchmarks/gpu/peer.js';
import { passes } from '../../benchmarks/gpu/rows.js';
import { timeOnDevice } from '../../benchmarks/gpu/timing.js';
import { tune } from '../../benchmarks/gpu/tuning.js';
import { readNetworks } from '../../benchmarks/networks.js';
import { readShapes } from '../../benchmarks/shapes.js';
import { capture, clearTuning, devices, memory, randn } from '../../lib/index.js';
import { native } from '../../lib/native.js';

const root = fileURLToPath(new URL('../../', import.meta.url));
const device = 'cuda:0';
const available = devices().some((each) => each.device === device && each.available);
const onDevice = available ? test.serial : test.serial.skip;
if (!available) test('no CUDA device, real or emulated: some tests are skipped', (t) => t.pass());

const layer = {
  ...{ name: 'l', c: 8, h: 4, w: 6, k: 16 },
  ...{ r: 3, s: 3, stride: 2, padding: 1, groups: 2, dilation: 1 },
};

test('the floor of a pass: both activations in their dtype, the weight in float32', (t) => {
  // x 2*8*4*6, y 2*16*2*3, weight 16*4*9
  t.is(leastBytes({ layer, batch: 2, precision: 'bfloat16' }), 2 * (384 + 192) + 4 * 576);
  t.is(leastBytes({ layer, batch: 2, precision: 'tf32' }), 4 * (384 + 192) + 4 * 576);
  t.is(setsOf({ layer, batch: 2, precision: 'bfloat16' }), 8);
  t.is(setsOf({ layer, batch: 1 << 17, precision: 'float32' }), 1);
});

const measure = (folder: string, ...args: string[]) =>
  spawnSync(
    process.execPath,
    ['--expose-gc', '--import', 'tsx', join(root, 'benchmarks/gpu/measure.ts'), folder, ...args],
    { encoding: 'utf8', env: { ...process.env, GROUPCONV_PYTHON: '/no/python' } },
  );

test('without a GPU the measurements say why and stop', (t) => {
  if (available) return t.pass('there is one');
  const { status, stdout } = measure(tmpdir());
  t.is(status, 3);
  t.regex(stdout, /no CUDA device: \S/);
});

onDevice('gpu:check measures, goes on where it was stopped, and ends with the goals', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'groupconv-gpu-'));
  const check = (...args: string[]) =>
    spawnSync(
      process.execPath,
      [
        ...[
          '--import',
          'tsx',
          join(root, 'benchmarks/gpu/check.ts'),
          '--architecture',
          '90',
          '--out',
          folder,
        ],
        ...['--only', 'measure', '--shapes', 'smallest', '--minutes', '3', ...args],
      ],
      { encoding: 'utf8', env: { ...process.env, GROUPCONV_PYTHON: '/no/python' } },
    );
  try {
    const { status, stdout, stderr } = check();
    t.is(status, 0, stdout + stderr);
    const report = readReport(folder);
    const { kernels, matrix } = report;
    for (const precision of ['bfloat16', 'tf32', 'float32'])
      for (const pass of ['forward', 'gradInput', 'gradWeight'])
        for (const name of ['grouped', 'depthwise'])
          t.true(
            kernels.some((row) => row.layer === name && row.precision === precision && row.pass === pass),
            `${name} ${precision} ${pass}`,
          );
    for (const { seconds, failure } of kernels) t.true((seconds as number) > 0, failure);
    const cudnn = kernels.filter(({ by }) => by === 'cudnn');
    t.true(cudnn.length > 0 && cudnn.every(({ engine }) => /engine \d/.test(engine ?? '')));
    for (const { engine, engines = [] } of cudnn) {
      t.true(engines.length > 1 && engines.every(({ seconds }) => seconds > 0));
      t.deepEqual(engines[0], { name: engine, seconds: Math.min(...engines.map(({ seconds }) => seconds)) });
    }
    t.true(kernels.some(({ by, precision }) => by.includes('grouped3x3') && precision === 'bfloat16'));
    t.deepEqual(matrix.map(({ precision }) => precision).sort(), ['bfloat16', 'float32', 'tf32']);
    t.true(existsSync(join(folder, 'report.md')));
    t.regex(
      stdout.trimEnd().split('\n').at(-1) as string,
      /^not measured +resnext50_32x4d training, batch 256/,
    );

    // One row is lost: only that is measured again.
    const [lost, ...others] = kernels;
    rmSync(join(folder, 'report.json'));
    const again = { ...report, kernels: others };
    writeReport(folder, again);
    t.is(check('--continue').status, 0);
    const after = readReport(folder).kernels;
    t.deepEqual(after.slice(0, -1), others);
    t.like(after.at(-1), { layer: lost?.layer, by: lost?.by, pass: lost?.pass });
  } finally {
    rmSync(folder, { recursive: true });
  }
});

const least = { seconds: 0.001, samples: 2 };
const smallest = { name: 'smallest', family: 'resnet' as const, blocks: [1], cardinality: 8, width: 4 };

onDevice('what is measured holds no memory afterwards', async (t) => {
  const held = () => memory({ device }).tensors;
  const before = held();
  const source = randn([64], { device });
  const graph = capture(() => source.clone());
  await timeOnDevice(device, () => source.clone(), least); // whatever is returned
  await timeOnDevice(device, graph, least);
  t.false(graph.result.disposed);
  graph.dispose();
  source.dispose();
  t.is(held(), before);
  t.true((await measureCopy(1 << 12, device, least)) > 0);
  t.is(held(), before, 'a copy');
  await measureMatrixRates(16, device, new TorchPeer(['/no/python']), least, 1);
  t.is(held(), before, 'products');
  for (const pass of passes)
    await measureSolver({ layer, batch: 1, precision: 'bfloat16', pass }, 'cudnn', device, least);
  t.is(held(), before, 'layers');
  for (const work of ['inference', 'training'] as const) {
    const captured = work === 'training';
    await measureNetwork(
      { network: smallest, n: 1, precision: 'bfloat16', work, captured },
      device,
      least,
      0,
      32,
    );
    t.is(held(), before, work);
  }
});

onDevice('what there was no time for is counted, and measured by the next run', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'groupconv-gpu-late-'));
  try {
    const cases = 3 * 3 * readShapes('smallest').filter(isGrouped).length; // precisions, passes
    t.is(measure(folder, '--seconds', '0', '--shapes', 'smallest').status, 0);
    t.deepEqual(readReport(folder).unreached?.kernels, { left: cases, of: cases });
    t.is(measure(folder, '--seconds', '100', '--shapes', 'smallest').status, 0);
    t.deepEqual(readReport(folder).unreached?.kernels, { left: 0, of: cases });
  } finally {
    rmSync(folder, { recursive: true });
  }
});

onDevice('a network is measured, tuned as far as its time goes', async (t) => {
  const network = readNetworks().find(({ name }) => name === 'mobilenet_v1');
  if (!network) return t.fail();
  const work = { network, n: 2, precision: 'bfloat16', captured: true } as const;
  const effort = { seconds: 0.001, samples: 1 };
  clearTuning();
  const { seconds, note } = await measureNetwork({ ...work, work: 'inference' }, device, effort, 0.001, 32);
  t.true((seconds as number) > 0);
  t.is(note, 'tuned in part: its time was up');
  const training = await measureNetwork({ ...work, work: 'training' }, device, effort, 0, 32);
  t.true((training.seconds as number) > 0 && !training.note);
  clearTuning();
  t.true(await tune(() => {}, device, 10));
});

test('the reference is no contender', (t) => {
  const all = native.solvers('conv2d', 0);
  if (all.length === 0) return t.deepEqual(solversOf(device), []); // no CUDA library
  t.is(all.at(-1), 'direct');
  t.false(solversOf(device).includes('direct'));
  t.true(solversOf(device).includes('cudnn'));
});
