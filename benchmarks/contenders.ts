/** Who takes part: groupconv and, where they are installed, its peers. */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { native } from '../lib/native.js';
import type { Program } from './peer.js';
import type { Work } from './peers/protocol.js';

export type Kind = Work['work'];

export interface Contender {
  name: string;
  /** Absent where its library isn't installed. */
  program: Program | null;
  variant: string;
}

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));
const tsx = createRequire(import.meta.url).resolve('tsx');
const typescript = (file: string): Program => ({
  command: process.execPath,
  args: ['--expose-gc', '--import', tsx, here(`./peers/${file}.ts`)],
});

/** What installs a library, by the beginning of its contenders' names. */
export const installation: Readonly<Record<string, string>> = {
  'onnxruntime-node': 'npm run bench:peers',
  'TensorFlow.js': 'npm run bench:peers',
  oneDNN: 'apt-get install libdnnl-dev cmake g++ && npm run bench:peers',
  PyTorch: 'apt-get install python3-torch python3-torchvision (or PYTHON=a python that has both)',
};

function packageProgram(packageName: string, file: string): Program | null {
  return existsSync(here(`./peers/node_modules/${packageName}`)) ? typescript(file) : null;
}

/** The first Python that has torch; PYTHON names another one. */
function findTorch(): Program | null {
  const candidates = process.env.PYTHON ? [process.env.PYTHON] : ['python3', '/usr/bin/python3'];
  const find =
    'import importlib.util as i, sys; sys.exit(not (i.find_spec("torch") and i.find_spec("torchvision")))';
  const command = candidates.find((python) => spawnSync(python, ['-c', find]).status === 0);
  return command ? { command, args: [here('./peers/torch_peer.py')] } : null;
}

function withEnvironment(program: Program | null, env: Record<string, string>): Program | null {
  return program && { ...program, env };
}

/** glibc gives freed blocks back to the system and pays for fresh pages at every step: here it keeps them. */
const keptMemory = {
  MALLOC_TRIM_THRESHOLD_: String(2 ** 34),
  MALLOC_MMAP_THRESHOLD_: String(2 ** 34),
  MALLOC_TOP_PAD_: String(2 ** 28),
};
/** PyTorch's own element-wise kernels take AVX2 unless told otherwise. */
const wideVectors = { ATEN_CPU_CAPABILITY: 'avx512' };

function layerPeers(): Contender[] {
  const file = here('../build-peers/onednn_peer');
  // Two threads on one core wait for each other at every barrier: bound threads can't meet there.
  const bound = { OMP_PROC_BIND: 'true', OMP_PLACES: 'cores' };
  const program = existsSync(file) ? { command: file, args: [], env: bound } : null;
  return ['any', 'nchw', 'nhwc'].map((variant) => ({ name: `oneDNN ${variant}`, program, variant }));
}

function inferencePeers(): Contender[] {
  const torch = findTorch();
  return [
    { name: 'onnxruntime-node', program: packageProgram('onnxruntime-node', 'onnxruntime'), variant: '' },
    { name: 'PyTorch eager', program: torch, variant: 'eager' },
    { name: 'PyTorch channels_last', program: torch, variant: 'channels_last' },
    { name: 'PyTorch jit', program: torch, variant: 'jit' },
    {
      name: 'TensorFlow.js wasm',
      program: packageProgram('@tensorflow/tfjs-backend-wasm', 'tfjs'),
      variant: '',
    },
  ];
}

function trainingPeers(): Contender[] {
  const torch = findTorch();
  const kept = withEnvironment(torch, keptMemory);
  const best = withEnvironment(torch, { ...keptMemory, ...wideVectors });
  return [
    { name: 'PyTorch eager', program: torch, variant: 'eager' },
    { name: 'PyTorch channels_last', program: torch, variant: 'channels_last' },
    { name: 'PyTorch channels_last, kept memory', program: kept, variant: 'channels_last' },
    ...(native.isas().includes('avx512')
      ? [{ name: 'PyTorch channels_last, kept memory, AVX-512', program: best, variant: 'channels_last' }]
      : []),
  ];
}

/** groupconv first; with `peers`, those who can do this kind of work, installed or not. */
export function contendersFor(kind: Kind, peers: boolean): Contender[] {
  const others = { layer: layerPeers, inference: inferencePeers, training: trainingPeers }[kind];
  const ours: Contender = { name: 'groupconv', program: typescript('groupconv'), variant: 'chosen' };
  return [ours, ...(peers ? others() : [])];
}

/** Who writes a network as an ONNX file. */
export const exporter: Program = typescript('groupconv');
