// npm run gpu:pack: what it packs is all that gpu:check needs on a machine that has neither Node nor packages.
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import test from 'ava';
import { emptyReport, writeReport } from '../../benchmarks/gpu/ledger.js';

const root = fileURLToPath(new URL('../../', import.meta.url));

test("the packed Node runs gpu:check's parts by the commands that are printed", (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'groupconv-pack-test-'));
  try {
    // Not compressed: that takes a minute.
    const packing = spawnSync(
      process.execPath,
      [join(root, 'scripts/gpuPack.mjs'), join(folder, 'gpu.tar')],
      {
        encoding: 'utf8',
      },
    );
    t.is(packing.status, 0, packing.stderr);
    const commands = packing.stdout
      .split('\n')
      .flatMap((line) => (line.startsWith('  ') ? [line.trim()] : []));
    t.is(commands.length, 3);

    // The sources, as they are carried: without what git ignores.
    const there = join(folder, 'there');
    for (const part of ['package.json', 'tsconfig.json', 'ava.config.js', 'benchmarks', 'lib'])
      cpSync(join(root, part), join(there, part), {
        recursive: true,
        filter: (path) => !/node_modules/.test(path),
      });
    const row = { network: 'resnext50_32x4d', work: 'inference', n: 256, precision: 'bfloat16' } as const;
    writeReport(join(there, 'report'), {
      ...emptyReport(),
      networks: [{ ...row, by: 'groupconv', seconds: 0.01 }],
    });
    writeFileSync(
      join(there, 'a.test.ts'),
      "import test from 'ava';\nimport 'expect-type';\nimport 'pbf';\nimport 'sharp';\ntest('it runs', (t) => t.pass());\n",
    );
    // This machine's programs, but Node; python3 may be a script that looks for it.
    const bin = join(folder, 'bin');
    mkdirSync(bin);
    for (const [name, asking] of [
      ['bash', 'command -v bash'],
      ['python3', 'python3 -c "import sys; print(sys.executable)"'],
    ] as const)
      symlinkSync(spawnSync('sh', ['-c', asking], { encoding: 'utf8' }).stdout.trim(), join(bin, name));
    const run = (...lines: string[]) =>
      spawnSync('bash', ['-c', `set -e\n${lines.join('\n')}`], {
        cwd: there,
        encoding: 'utf8',
        env: { PATH: bin, HOME: folder },
      });
    const [unpack, path, check] = commands as [string, string, string];
    t.not(run('node --version').status, 0, 'there is none yet');
    const unpacked = run(unpack);
    t.is(unpacked.status, 0, unpacked.stderr);
    const help = run(path, `${check} --help`);
    t.is(help.status, 0, help.stderr);
    t.regex(help.stdout, /--minutes/);
    const chart = run(path, `${check} --render report/report.json`);
    t.is(chart.status, 0, chart.stderr);
    t.regex(chart.stdout, /drawn in report/, chart.stdout);
    // The suite, and the addon's headers.
    const suite = run(path, 'node node_modules/ava/entrypoints/cli.mjs a.test.ts');
    t.is(suite.status, 0, suite.stdout + suite.stderr);
    for (const headers of ['node-api-headers', 'node-addon-api'])
      t.is(
        run(path, `node -p "require('${headers}').include${headers === 'node-api-headers' ? '_dir' : ''}"`)
          .status,
        0,
      );
  } finally {
    rmSync(folder, { recursive: true });
  }
});
