// gpu:check around its measurements: command line, time, the report on disk, PyTorch's process, sanitizer's tests.
import { type SpawnSyncReturns, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { mock } from 'node:test';
import { fileURLToPath } from 'node:url';
import test from 'ava';
import {
  BrokenDevice,
  emptyReport,
  Ledger,
  readReport,
  withoutFailures,
  writeReport,
} from '../../benchmarks/gpu/ledger.js';
import { TorchPeer } from '../../benchmarks/gpu/peer.js';
import { silenceSeconds } from '../../benchmarks/gpu/plan.js';
import type { KernelRow } from '../../benchmarks/gpu/rows.js';
import { checksOf } from '../../benchmarks/gpu/sanitizer.js';
import { GroupConvError } from '../../lib/index.js';

const root = fileURLToPath(new URL('../../', import.meta.url));

function inFolder<T>(run: (folder: string) => T): T {
  const folder = mkdtempSync(join(tmpdir(), 'groupconv-gpu-check-'));
  const remove = () => rmSync(folder, { recursive: true });
  let result: T;
  try {
    result = run(folder);
  } catch (error) {
    remove();
    throw error;
  }
  if (result instanceof Promise) return result.finally(remove) as T;
  remove();
  return result;
}

const check = (args: string[], env: NodeJS.ProcessEnv = {}): SpawnSyncReturns<string> =>
  spawnSync(process.execPath, ['--import', 'tsx', join(root, 'benchmarks/gpu/check.ts'), ...args], {
    encoding: 'utf8',
    env: { ...process.env, ...env },
  });

test('the command line: help, and mistakes before anything has run', (t) => {
  t.like(check(['--help']), { status: 0, stderr: '' });
  for (const [args, message] of [
    [['--only', 'native,tests'], /--only: expected some of build, .* found "tests"/],
    [['--minutes', 'ten'], /--minutes: expected a number above 0, found "ten"/],
    [['--render', '/no/report.json'], /--render: there is no \/no\/report\.json/],
    [['--fast'], /--fast/],
  ] as const) {
    const { status, stderr } = check([...args]);
    t.is(status, 2);
    t.regex(stderr, message);
  }
});

test('a step that runs out of time ends with all that it has started', (t) => {
  inFolder((folder) => {
    const started = join(folder, 'started');
    writeFileSync(join(folder, 'ctest'), `#!/bin/sh\nsleep 600 &\necho $! > ${started}\nwait\n`, {
      mode: 0o755,
    });
    const { status, stdout } = check(
      ['--architecture', '90', '--only', 'native', '--minutes', '0.05', '--out', folder],
      { PATH: `${folder}:${process.env.PATH}` },
    );
    t.is(status, 1);
    t.regex(stdout, /native tests on the GPU: stopped after/);
    const pid = Number(readFileSync(started, 'utf8'));
    const state = existsSync(`/proc/${pid}/stat`) ? readFileSync(`/proc/${pid}/stat`, 'utf8') : 'gone';
    t.regex(state, /^gone$|\) Z /, 'nobody, or nobody but its name');
    t.regex(readReport(folder).steps[0]?.outcome as string, /^stopped after/);
    t.regex(readFileSync(join(folder, 'report.md'), 'utf8'), /native tests on the GPU +\| stopped after/);
  });
});

test('--render draws tables and chart of a report anew', (t) => {
  inFolder((folder) => {
    const row = { network: 'resnext50_32x4d', work: 'inference', n: 256, precision: 'bfloat16' } as const;
    writeReport(folder, { ...emptyReport(), networks: [{ ...row, by: 'groupconv', seconds: 0.01 }] });
    const { status, stdout } = check(['--render', join(folder, 'report.json')]);
    t.is(status, 0);
    t.regex(
      stdout,
      /^met +resnext50_32x4d inference, batch 256 +at least 25000 images\/s +25600 images\/s$/m,
    );
    t.regex(readFileSync(join(folder, 'report.svg'), 'utf8'), /<svg/);
    t.regex(readFileSync(join(folder, 'report.md'), 'utf8'), /25600/);
  });
});

const identity = { layer: 'l', batch: 1, precision: 'float32', pass: 'forward', bytes: 1, flops: 1 } as const;

test('a row is in the report as soon as it is measured, and is measured once', async (t) => {
  await inFolder(async (folder) => {
    const seen: (string | undefined)[] = [];
    const measured = (seconds: number | null) => async () => {
      const { current } = readReport(folder);
      seen.push(current?.by);
      return seconds === null ? null : { seconds };
    };
    const ledger = new Ledger(folder);
    await ledger.row('kernels', { ...identity, by: 'a' }, measured(1));
    await ledger.row('kernels', { ...identity, by: 'b' }, measured(null));
    t.deepEqual(readReport(folder).kernels, [{ ...identity, by: 'a', seconds: 1 }] as KernelRow[]);
    const next = new Ledger(folder);
    for (const by of ['a', 'b', 'c']) await next.row('kernels', { ...identity, by }, measured(2));
    t.deepEqual(seen, ['a', 'b', 'c']);
    t.deepEqual(
      readReport(folder).kernels.map(({ by, seconds }) => [by, seconds]),
      [
        ['a', 1],
        ['c', 2],
      ],
    );
  });
});

test('a row that ends its process, or the device, is a failure, and the next process goes on', async (t) => {
  await inFolder(async (folder) => {
    const first = new Ledger(folder);
    void first.row('kernels', { ...identity, by: 'deadly' }, () => new Promise(() => {}));
    const second = new Ledger(folder, 'failed (SIGSEGV)');
    t.like(second.report.kernels[0], { by: 'deadly', failure: 'failed (SIGSEGV)' });
    await second.row('kernels', { ...identity, by: 'deadly' }, async () => t.fail('again') as never);
    const refusal = async () => {
      throw new GroupConvError('OUT_OF_MEMORY', 'no memory');
    };
    await second.row('kernels', { ...identity, by: 'large' }, refusal);
    const failure = async () => {
      throw new GroupConvError('DEVICE_FAILURE', 'an illegal memory access');
    };
    await t.throwsAsync(second.row('kernels', { ...identity, by: 'wild' }, failure), {
      instanceOf: BrokenDevice,
    });
    t.deepEqual(
      readReport(folder).kernels.map(({ failure }) => failure),
      ['failed (SIGSEGV)', 'no memory', 'an illegal memory access'],
    );
    t.is(readReport(folder).current, null);
    // Another run tries again; rows that are there stay.
    await second.row('kernels', { ...identity, by: 'good' }, async () => ({ seconds: 1 }));
    const kept = withoutFailures(readReport(folder));
    t.deepEqual(
      kept.kernels.map(({ by }) => by),
      ['good'],
    );
  });
});

test('the report counts what has not been reached yet', async (t) => {
  await inFolder(async (folder) => {
    const ledger = new Ledger(folder);
    const row = (batch: number, by: string) => ({
      kind: 'kernels' as const,
      identity: { ...identity, batch, by },
    });
    const expected = [row(1, 'a'), row(1, 'b'), row(2, 'a'), row(2, 'a')];
    ledger.expect(expected);
    const unreached = () => readReport(folder).unreached?.kernels;
    t.deepEqual(unreached(), { left: 2, of: 2 });
    await ledger.row('kernels', { ...identity, batch: 1, by: 'a' }, async () => ({ seconds: 1 }));
    t.deepEqual(unreached(), { left: 2, of: 2 }, 'one of its rows is missing');
    await ledger.row('kernels', { ...identity, batch: 1, by: 'b' }, async () => null);
    t.deepEqual(unreached(), { left: 1, of: 2 });
    const next = new Ledger(folder);
    next.expect(expected);
    t.deepEqual(unreached(), { left: 1, of: 2 });
    await next.row('kernels', { ...identity, batch: 2, by: 'a' }, async () => ({ failure: 'no memory' }));
    t.deepEqual(unreached(), { left: 0, of: 2 });
  });
});

test.serial('whoever measures for long says so before it is taken for dead', async (t) => {
  await inFolder(async (folder) => {
    const { log } = console;
    const lines: string[] = [];
    mock.timers.enable({ apis: ['setInterval'] });
    console.log = (line: string) => lines.push(line);
    try {
      await new Ledger(folder).row('kernels', { ...identity, by: 'slow' }, async () => {
        mock.timers.tick(1000 * silenceSeconds);
        return { seconds: 1 };
      });
      mock.timers.tick(1000 * silenceSeconds);
    } finally {
      console.log = log;
      mock.timers.reset();
    }
    t.deepEqual(lines, [...Array(4).fill('… kernels l 1 float32 forward slow'), lines.at(-1) as string]);
  });
});

/** A peer of JavaScript: answers, is late, or dies, as it is asked to. */
const peer = (hello: string) =>
  new TorchPeer([
    process.execPath,
    '-e',
    `console.log(${JSON.stringify(hello)});
    require('node:readline').createInterface(process.stdin).on('line', (line) => {
      const { answer } = JSON.parse(line);
      if (answer === 'die') process.exit(1);
      if (answer) console.log(JSON.stringify({ seconds: answer }));
    });`,
  ]);

test('PyTorch answers, or is ended when it takes too long, and is started anew', async (t) => {
  const torch = peer('{"version": "2.11"}');
  try {
    t.is(await torch.version(), '2.11');
    t.deepEqual(await torch.measure({ answer: 5 }, 20), { seconds: 5 });
    t.deepEqual(await torch.measure({}, 0.1), { failure: 'no answer within 0 s' });
    t.deepEqual(await torch.measure({ answer: 6 }, 20), { seconds: 6 });
    t.deepEqual(await torch.measure({ answer: 'die' }, 20), { failure: 'PyTorch ended' });
    t.deepEqual(await torch.measure({ answer: 7 }, 20), { seconds: 7 });
  } finally {
    torch.close();
  }
  const missing = new TorchPeer(['/no/such/python']);
  t.is(await missing.version(), null);
  t.deepEqual(await missing.measure({}, 1), { failure: 'no PyTorch' });
});

test('compute-sanitizer looks at kernels that share memory first, with all its tools', (t) => {
  const programs = ['add_cuda_test', 'conv2d_test', 'grouped3x3_cuda_test', 'reduce_test', 'stream_test'];
  programs.push('failure_test');
  const checks = checksOf(programs).map(({ tool, program }) => `${tool} ${program}`);
  t.deepEqual(checks.slice(0, 3), [
    'memcheck grouped3x3_cuda_test',
    'memcheck reduce_test',
    'racecheck grouped3x3_cuda_test',
  ]);
  t.is(checks.filter((each) => each.endsWith('grouped3x3_cuda_test')).length, 4);
  t.deepEqual(checks.slice(-2), ['memcheck add_cuda_test', 'memcheck stream_test']);
  t.false(
    checks.some((each) => each.endsWith('conv2d_test')),
    'the CPU has no say there',
  );
  t.false(
    checks.some((each) => each.endsWith('failure_test')),
    'what fails on purpose is no finding',
  );
});

test('what a sanitizer finds fails, what it does not finish is told', (t) => {
  inFolder((folder) => {
    for (const program of ['reduce_test', 'stream_test']) writeFileSync(join(folder, program), '');
    const tool = '#!/bin/sh\ncase "$2" in racecheck) echo "a race"; exit 1;; initcheck) sleep 60;; esac\n';
    writeFileSync(join(folder, 'compute-sanitizer'), tool, { mode: 0o755 });
    const { status, stdout } = spawnSync(
      process.execPath,
      ['--import', 'tsx', join(root, 'benchmarks/gpu/sanitizer.ts'), folder, '10'],
      { encoding: 'utf8', env: { ...process.env, PATH: `${folder}:${process.env.PATH}` } },
    );
    t.is(status, 1);
    t.regex(stdout, /^clean +memcheck +stream_test/m);
    t.regex(stdout, /^unfinished initcheck reduce_test/m);
    t.regex(stdout, /racecheck reduce_test:\na race/);
    t.regex(stdout, /3 clean, 1 with findings, 1 unfinished, 0 not begun/);
  });
});
