// The benchmarks' PyTorch contender runs beside groupconv, and computes the same.

import { execFile, execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import test from 'ava';
import { explainAbsence, whereThere } from './absence.js';

const python = process.env.GROUPCONV_PYTHON ?? 'python3';
const program = fileURLToPath(new URL('../../benchmarks/main.ts', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'groupconv-bench-'));
test.after.always(() => rmSync(folder, { recursive: true }));

const torch = whereThere(() =>
  execFileSync(python, ['-c', 'import torch, torchvision; print(torch.__version__)'], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  }).trim(),
);

for (const suite of ['networks', 'training'])
  test.serial(`${suite} beside PyTorch`, async (t) => {
    if (!torch) return explainAbsence(t, 'a Python with torch and torchvision');
    const json = join(folder, `${suite}.json`);
    const work = [
      '--filter',
      'mobilenet',
      '--batch',
      '2',
      '--rounds',
      '1',
      '--retries',
      '0',
      '--seconds',
      '0.01',
    ];
    await promisify(execFile)(
      process.execPath,
      ['--import=tsx', program, suite, '--peers', '--contenders', '^PyTorch eager$', ...work, '--json', json],
      { env: { ...process.env, PYTHON: python }, timeout: 240_000 },
    );
    const { rows, versions } = JSON.parse(readFileSync(json, 'utf8'));
    t.is(versions.PyTorch, torch);
    t.deepEqual(
      rows.map(({ contender, failure }: { contender: string; failure: string | null }) => [
        contender,
        failure,
      ]),
      [
        ['groupconv', null],
        ['PyTorch eager', null],
      ],
    );
  });
