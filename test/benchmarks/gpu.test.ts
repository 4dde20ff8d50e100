import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import test from 'ava';
import { type KernelRow, leastBytes } from '../../benchmarks/gpu/kernels.js';
import { goals, kernelLines, kernelTable, toMarkdown } from '../../benchmarks/gpu/report.js';
import { devices } from '../../lib/index.js';

const root = fileURLToPath(new URL('../../', import.meta.url));
const layer = {
  name: 'l',
  c: 8,
  h: 4,
  w: 6,
  k: 16,
  r: 3,
  s: 3,
  stride: 2,
  padding: 1,
  groups: 2,
  dilation: 1,
};

test('the floor of a pass: both activations in their dtype, the weight in float32', (t) => {
  // x 2*8*4*6, y 2*16*2*3, weight 16*4*9
  t.is(leastBytes({ layer, batch: 2, dtype: 'bfloat16', pass: 'forward' }), 2 * (384 + 192) + 4 * 576);
  t.is(leastBytes({ layer, batch: 2, dtype: 'float32', pass: 'forward' }), 4 * (384 + 192) + 4 * 576);
});

const row = (by: string, seconds: number, chosen = false): KernelRow => ({
  layer: 'conv2_3x3',
  batch: 256,
  dtype: 'bfloat16',
  pass: 'forward',
  by,
  chosen,
  seconds,
  ofBandwidth: 0.5,
  teraflops: 1,
});

test('a line of the report sets our choice beside the best of cuDNN and PyTorch', (t) => {
  const rows = [row('chosen', 1e-4, true), row('grouped3x3', 1e-4), row('cudnn:1', 4e-4), row('cudnn', 2e-4)];
  rows.push(row('PyTorch', 3e-4), row('direct', Number.NaN));
  const [line] = kernelLines(rows);
  t.is(line?.own?.by, 'grouped3x3');
  t.is(line?.cudnn?.by, 'cudnn');
  t.deepEqual(goals(rows), [
    'bfloat16, batch 256, forward: 1 layers in 0.100 ms, 2.00x the best of cuDNN, 3.00x PyTorch (geometric means)',
  ]);
  t.regex(kernelTable(rows), /conv2_3x3 .*100\.0 .*grouped3x3 .*200\.0 .*300\.0 .*2\.00 .*3\.00/);
});

test('a report tells of steps that failed, with the end of what they said', (t) => {
  const text = toMarkdown({
    device: { name: 'a device', reason: '' },
    torch: null,
    bandwidthGigabytes: 3000,
    matrixTeraflops: 700,
    steps: [
      { name: 'one', outcome: 'passed', seconds: 1, tail: 'silence' },
      { name: 'two', outcome: 'failed (1)', seconds: 2, tail: 'the last words' },
    ],
    kernels: [row('chosen', 1e-4, true)],
    networks: [],
  });
  t.true(text.includes('the last words') && !text.includes('silence') && text.includes('name a device'));
});

test('without a GPU the measurements say why and stop', (t) => {
  if (devices().some(({ device, available }) => device === 'cuda:0' && available))
    return t.pass('there is one');
  const { status, stdout } = spawnSync(
    process.execPath,
    ['--import', 'tsx', join(root, 'benchmarks/gpu/measure.ts'), tmpdir()],
    { encoding: 'utf8' },
  );
  t.is(status, 3);
  t.regex(stdout, /no CUDA device: \S/);
});

const check = (args: string[], env: NodeJS.ProcessEnv = {}) =>
  spawnSync(process.execPath, ['--import', 'tsx', join(root, 'benchmarks/gpu/check.ts'), ...args], {
    encoding: 'utf8',
    env: { ...process.env, ...env },
  });

test("gpu:check's command line: help, and mistakes before anything has run", (t) => {
  t.like(check(['--help']), { status: 0, stderr: '' });
  for (const [args, message] of [
    [['--only', 'native,tests'], /--only: expected some of build, .* found "tests"/],
    [['--minutes', 'ten'], /--minutes: expected a number above 0, found "ten"/],
    [['--fast'], /--fast/],
  ] as const) {
    const { status, stderr } = check([...args]);
    t.is(status, 2);
    t.regex(stderr, message);
  }
});

test('a step that runs out of time ends with all that it has started', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'groupconv-gpu-check-'));
  try {
    const started = join(folder, 'started');
    writeFileSync(join(folder, 'ctest'), `#!/bin/sh\nsleep 600 &\necho $! > ${started}\nwait\n`, {
      mode: 0o755,
    });
    const { status, stdout } = check(
      ['--architecture', '90', '--only', 'native', '--minutes', '0.03', '--out', folder],
      { PATH: `${folder}:${process.env.PATH}` },
    );
    t.is(status, 1);
    t.regex(stdout, /native tests on the GPU: stopped after/);
    const pid = Number(readFileSync(started, 'utf8'));
    const state = existsSync(`/proc/${pid}/stat`) ? readFileSync(`/proc/${pid}/stat`, 'utf8') : 'gone';
    t.regex(state, /^gone$|\) Z /, 'nobody, or nobody but its name');
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('the measurements run on the device that is there', (t) => {
  const found = devices().find(({ device }) => device === 'cuda:0');
  if (!found?.available) {
    t.log('skipped: no CUDA device, real or emulated');
    return t.pass();
  }
  const folder = mkdtempSync(join(tmpdir(), 'groupconv-gpu-'));
  try {
    const { status, stderr } = spawnSync(
      process.execPath,
      ['--import', 'tsx', join(root, 'benchmarks/gpu/measure.ts'), folder, '60', 'smallest'],
      { encoding: 'utf8' },
    );
    t.is(status, 0, stderr);
    const { kernels } = JSON.parse(readFileSync(join(folder, 'report.json'), 'utf8')) as {
      kernels: KernelRow[];
    };
    t.true(kernels.some(({ by, seconds }) => by === 'direct' && seconds > 0));
    for (const { seconds, failure } of kernels) t.true(seconds > 0, failure);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
