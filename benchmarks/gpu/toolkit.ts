/** CUDA's programs: on PATH, or in a toolkit whose folder isn't in it. */
import { existsSync, readdirSync, readFileSync, realpathSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';

/** The folder of the nvcc that a build has found, which may be one of pip's wheels. */
function compilerFolder(build: string): string[] {
  const cache = join(build, 'CMakeCache.txt');
  if (!existsSync(cache)) return [];
  const nvcc = /^CMAKE_CUDA_COMPILER:\w+=(.+)$/m.exec(readFileSync(cache, 'utf8'))?.[1];
  return nvcc && existsSync(nvcc) ? [dirname(realpathSync(nvcc))] : [];
}

/** Folders of wheels in the project's own .cuda-toolchain. */
function wheelFolders(root: string): string[] {
  const pythons = join(root, '.cuda-toolchain', 'lib');
  if (!existsSync(pythons)) return [];
  return readdirSync(pythons).map((python) =>
    join(pythons, python, 'site-packages', 'nvidia', 'cu13', 'bin'),
  );
}

/**
 * A program's path, and where it was looked for. On PATH first; then beside the build's nvcc and the one on PATH, in
 * CUDA_HOME, CUDA_PATH, /usr/local/cuda, conda and the project's own toolchain.
 */
export function findTool(
  name: string,
  { root, build, env = process.env }: { root: string; build: string; env?: NodeJS.ProcessEnv },
): { path: string | null; folders: string[] } {
  const onPath = (env.PATH ?? '').split(delimiter).filter((folder) => folder !== '');
  const nvcc = onPath.map((folder) => join(folder, 'nvcc')).find((file) => existsSync(file));
  const homes = [env.CUDA_HOME, env.CUDA_PATH, '/usr/local/cuda', env.CONDA_PREFIX].filter(
    (home): home is string => home !== undefined && home !== '',
  );
  const folders = [
    ...compilerFolder(build),
    ...(nvcc ? [dirname(realpathSync(nvcc))] : []),
    ...homes.map((home) => join(home, 'bin')),
    ...wheelFolders(root),
  ];
  // A toolkit's bin may lack the script that starts what is in a folder of its own.
  const places = [...onPath, ...folders.flatMap((folder) => [folder, join(dirname(folder), name)])];
  const found = places.map((place) => join(place, name)).find((file) => existsSync(file));
  return { path: found ?? null, folders };
}
