// What gpu:check finds of a machine: the GPU for all of its steps, the library's device, CUDA's programs.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import test from 'ava';
import { askLibrary, chooseGpu, otherArchitecture, parseGpus } from '../../benchmarks/gpu/device.js';
import { readReport } from '../../benchmarks/gpu/ledger.js';
import { findTool } from '../../benchmarks/gpu/toolkit.js';
import { devices } from '../../lib/index.js';

const root = fileURLToPath(new URL('../../', import.meta.url));
let folder = '';
test.beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'groupconv-gpu-machine-'));
});
test.afterEach.always(() => rmSync(folder, { recursive: true }));

/** A program of the machine that is pretended. */
function program(path: string, text = ''): string {
  const file = join(folder, path);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, `#!/bin/sh\n${text}\n`, { mode: 0o755 });
  return file;
}
const check = (env: NodeJS.ProcessEnv, ...args: string[]) =>
  spawnSync(
    process.execPath,
    ['--import', 'tsx', join(root, 'benchmarks/gpu/check.ts'), '--out', folder, ...args],
    { encoding: 'utf8', env: { ...process.env, PATH: `${folder}:${process.env.PATH}`, ...env } },
  );

const two = '0, GPU-aa11, 7.5, NVIDIA T1000\n1, GPU-bb22, 9.0, NVIDIA H100 80GB HBM3\n';
const last = (text: string) => text.trimEnd().split('\n').at(-1) as string;

test.serial('one GPU for all steps: the newest, or the one that is to be visible', (t) => {
  const gpus = parseGpus(two);
  t.deepEqual(
    gpus.map(({ architecture, name }) => [architecture, name]),
    [
      ['75', 'NVIDIA T1000'],
      ['90', 'NVIDIA H100 80GB HBM3'],
    ],
  );
  const chosen = (visible?: string) => {
    const choice = chooseGpu(gpus, visible);
    return choice && [choice.gpu.architecture, choice.env.CUDA_VISIBLE_DEVICES];
  };
  t.deepEqual(chosen(), ['90', 'GPU-bb22']);
  t.deepEqual(chosen('0,1'), ['75', 'GPU-aa11'], "nvidia-smi's number, not CUDA's");
  t.deepEqual(chosen('GPU-bb'), ['90', 'GPU-bb22']);
  t.deepEqual(chosen('MIG-cc33'), ['90', undefined]);
  for (const none of ['', '7', '-1', 'GPU-cc']) t.is(chosen(none), null);
  const alone = gpus.slice(0, 1);
  t.deepEqual(chooseGpu(alone, undefined), { gpu: alone[0], env: {} } as never);
  t.deepEqual(parseGpus('No devices were found\n'), []);
});

test.serial('every step sees that GPU alone', (t) => {
  program('nvidia-smi', `printf '${two.replaceAll('\n', '\\n')}'`);
  program('ctest', 'echo "for $CUDA_VISIBLE_DEVICES"');
  const { stdout } = check({}, '--only', 'native');
  t.regex(stdout, /on NVIDIA H100 80GB HBM3, GPU-bb22/);
  t.is(readReport(folder).steps.find(({ name }) => name.startsWith('native'))?.tail, 'for GPU-bb22');
  const hidden = check({ CUDA_VISIBLE_DEVICES: '5' }, '--only', 'native');
  t.is(hidden.status, 3);
  t.regex(hidden.stdout, /CUDA_VISIBLE_DEVICES=5 is none of 0 GPU-aa11 NVIDIA T1000; 1 GPU-bb22/);
});

test.serial("the library's own device decides what is built", (t) => {
  const found = devices().find(({ device }) => device.startsWith('cuda'));
  const asked = askLibrary({});
  t.is(asked?.name, found?.name);
  t.is(asked?.computeCapability, found?.computeCapability);
  t.is(asked?.reason, found?.reason);
  t.is(askLibrary({ GROUPCONV_NATIVE: '/no/addon' }), null);
  t.is(otherArchitecture('90', { name: 'an A10', computeCapability: '8.6' }), '86');
  t.is(otherArchitecture('120', { name: 'an RTX 5090', computeCapability: '12.0' }), null);
  t.is(otherArchitecture('90', { reason: 'no driver' }), null);
});

test.serial('compute-sanitizer is found in toolkits that are not on PATH', (t) => {
  const name = 'compute-sanitizer';
  const find = (env: NodeJS.ProcessEnv) =>
    findTool(name, {
      root: folder,
      build: join(folder, 'build'),
      env: { PATH: join(folder, 'bin'), ...env },
    });
  const tool = (path: string) => program(join(path, name));
  t.true(find({}).folders.includes('/usr/local/cuda/bin'));

  const own = tool('.cuda-toolchain/lib/python3.11/site-packages/nvidia/cu13/bin');
  if (!existsSync(`/usr/local/cuda/bin/${name}`)) t.is(find({}).path, own);
  const apart = tool('home/compute-sanitizer');
  t.is(find({ CUDA_HOME: join(folder, 'home') }).path, apart);
  const home = tool('home/bin');
  t.is(find({ CUDA_HOME: join(folder, 'home') }).path, home);
  program('bin/nvcc');
  t.is(find({ CUDA_HOME: join(folder, 'home') }).path, home, 'none beside the nvcc on PATH');
  const wheel = tool('site/nvidia/cu13/bin');
  const nvcc = program('site/nvidia/cu13/bin/nvcc');
  mkdirSync(join(folder, 'build'));
  writeFileSync(
    join(folder, 'build', 'CMakeCache.txt'),
    `A:STRING=b\nCMAKE_CUDA_COMPILER:FILEPATH=${nvcc}\n`,
  );
  t.is(find({ CUDA_HOME: join(folder, 'home') }).path, wheel, "beside the build's own");
  const onPath = tool('bin');
  t.is(find({}).path, onPath);
});

test.serial('a sanitizer that is nowhere is told in the last row', (t) => {
  if (findTool('compute-sanitizer', { root, build: join(root, 'build-gpu') }).path)
    return t.pass('it is here');
  const { status, stdout } = check({}, '--only', 'sanitizer', '--architecture', '90');
  t.is(status, 0);
  t.regex(last(stdout), /^native tests under compute-sanitizer: not run: it is neither on PATH nor in \//);
});
