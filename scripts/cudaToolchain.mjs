// npm run cuda:toolchain: NVIDIA's compiler and cuDNN from PyPI, in a virtual environment inside the project, for
// machines without a CUDA toolkit. The build finds it; nothing outside the folder is touched, and removing it is undoing it.
//   --run   also what cuDNN opens at run time (cuBLAS, NVRTC), for machines with a GPU
import { spawnSync } from 'node:child_process';
import { existsSync, lstatSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const FOLDER = join(dirname(dirname(fileURLToPath(import.meta.url))), '.cuda-toolchain');
const LIST = join(FOLDER, 'installed.json');
// Without their dependencies: cuDNN's would bring 700 MB of cuBLAS and NVRTC, which no build needs.
const BUILD = [
  'nvidia-cuda-nvcc==13.0.88',
  'nvidia-nvvm==13.0.88',
  'nvidia-cuda-crt==13.0.88',
  'nvidia-cuda-cccl==13.0.85',
  'nvidia-cuda-runtime==13.0.96',
  'nvidia-cudnn-cu13==9.28.1.4',
];
const RUN = ['nvidia-cublas==13.0.2.14', 'nvidia-cuda-nvrtc==13.0.88'];

const say = (text) => console.log(`groupconv: ${text}`);

function stop(text) {
  say(text);
  process.exit(1);
}

/** Runs a command and shows what it says; its success. */
function run(command, args) {
  return spawnSync(command, args, { stdio: 'inherit' }).status === 0;
}

/** A Python of version 3.9 or newer: what pip's present wheels ask for. */
function findPython() {
  const isEnough = ['-c', 'import sys; sys.exit(sys.version_info < (3, 9))'];
  return ['python3', 'python'].find((name) => spawnSync(name, isEnough).status === 0);
}

function bytesOf(path) {
  const found = lstatSync(path);
  if (!found.isDirectory()) return found.size;
  return readdirSync(path).reduce((bytes, name) => bytes + bytesOf(join(path, name)), 0);
}

function install(wheels) {
  const python = findPython();
  if (!python) stop('no Python 3.9 or newer on PATH; NVIDIA publishes its compiler as Python wheels');
  // With `venv` but without `ensurepip`, as on Debian before python3-venv is there, half an environment comes about.
  rmSync(FOLDER, { recursive: true, force: true });
  if (!run(python, ['-m', 'venv', FOLDER])) {
    rmSync(FOLDER, { recursive: true, force: true });
    stop(`${python} can't make a virtual environment; on Debian and Ubuntu: apt-get install python3-venv`);
  }
  const pip = ['-m', 'pip', '--disable-pip-version-check', 'install', '--quiet'];
  // --no-cache-dir: half a gigabyte that nobody needs twice.
  if (
    !run(join(FOLDER, 'bin', 'python'), [
      ...pip,
      '--no-deps',
      '--no-cache-dir',
      '--only-binary=:all:',
      ...wheels,
    ])
  )
    stop('pip could not install the wheels; its message is above');
  writeFileSync(LIST, `${JSON.stringify(wheels, null, 2)}\n`); // last: its presence means that all went well
}

if (process.platform !== 'linux')
  stop('NVIDIA publishes these wheels for Linux; elsewhere, install its CUDA toolkit');
const unknown = process.argv.slice(2).filter((argument) => argument !== '--run');
if (unknown.length > 0) stop(`expected --run or nothing, found ${unknown.join(' ')}`);

const installed = existsSync(LIST) ? JSON.parse(readFileSync(LIST, 'utf8')) : [];
const wheels = process.argv.includes('--run') ? [...BUILD, ...RUN] : BUILD;
if (wheels.every((wheel) => installed.includes(wheel))) {
  say(`${FOLDER} has it all already`);
} else {
  say(`installing ${wheels.join(', ')}`);
  install(wheels);
}
say(`${FOLDER}, ${(bytesOf(FOLDER) / 1e9).toFixed(1)} GB; npm run build:cuda takes it from there`);
