/** The GPU that everything runs on: CUDA's first, `cuda:0`, in every step. */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { DeviceInfo } from '../../lib/index.js';

/** What nvidia-smi says of one. */
export interface Gpu {
  index: number;
  uuid: string;
  /** Compute capability without its point, as nvcc calls it. */
  architecture: string;
  name: string;
}

/** "0, GPU-5f…, 9.0, NVIDIA H100 80GB HBM3" a line. */
export function parseGpus(text: string): Gpu[] {
  return text.split('\n').flatMap((line) => {
    const [index, uuid, capability, ...name] = line.split(',').map((field) => field.trim());
    if (!uuid || !/^\d+\.\d+$/.test(capability ?? '')) return [];
    return [
      {
        index: Number(index),
        uuid,
        architecture: (capability as string).replace('.', ''),
        name: name.join(', '),
      },
    ];
  });
}

/** Where there is no nvidia-smi, or it fails, none. */
export function listGpus(): Gpu[] {
  const query = '--query-gpu=index,uuid,compute_cap,name';
  const { status, stdout } = spawnSync('nvidia-smi', [query, '--format=csv,noheader'], { encoding: 'utf8' });
  return status === 0 ? parseGpus(stdout) : [];
}

/**
 * The GPU to use, and the environment in which CUDA takes it for its first: nvidia-smi counts by slots, CUDA the fastest
 * first. Of several it is the first in CUDA_VISIBLE_DEVICES, by nvidia-smi's number or a UUID; else the newest. Null where
 * there is none, or none is visible.
 */
export function chooseGpu(
  gpus: readonly Gpu[],
  visible: string | undefined,
): { gpu: Gpu; env: NodeJS.ProcessEnv } | null {
  const first = visible?.split(',')[0]?.trim();
  const newest = [...gpus].sort((a, b) => Number(b.architecture) - Number(a.architecture))[0];
  const gpu =
    first === undefined
      ? newest
      : gpus.find(({ index, uuid }) =>
          /^\d+$/.test(first) ? Number(first) === index : first && uuid.startsWith(first),
        );
  if (gpu) return { gpu, env: gpus.length > 1 ? { CUDA_VISIBLE_DEVICES: gpu.uuid } : {} };
  // A part of one (MIG) has a name of its own, and the architecture of all of it.
  return first?.startsWith('MIG-') && newest ? { gpu: newest, env: {} } : null;
}

export type FoundDevice = Pick<DeviceInfo, 'name' | 'computeCapability' | 'reason'>;

/** What the library itself finds as cuda:0; null where it can't be asked. */
export function askLibrary(env: NodeJS.ProcessEnv): FoundDevice | null {
  const program = fileURLToPath(new URL('./which.ts', import.meta.url));
  const { status, stdout } = spawnSync(process.execPath, ['--import', 'tsx', program], {
    encoding: 'utf8',
    env: { ...process.env, ...env },
    timeout: 40_000,
  });
  return status === 0 ? (JSON.parse(stdout) as FoundDevice) : null;
}

/** The architecture that a build for another one should have had, of the device that is measured; null where it has. */
export function otherArchitecture(target: string, found: FoundDevice | null): string | null {
  const actual = found?.computeCapability?.replace('.', '');
  return actual && actual !== target ? actual : null;
}
