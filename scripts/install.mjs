// npm's "install" script: takes a shipped binary that loads, else builds from source, with CMake or else node-gyp.
//   GROUPCONV_SKIP_BUILD=1            do nothing
//   GROUPCONV_BUILD_FROM_SOURCE=1     ignore shipped binaries (npm's --build-from-source does the same)
//   GROUPCONV_BUILD_TOOL=cmake|gyp    use this tool only
//   GROUPCONV_CUDA=auto|on|off        the CUDA library: where nvcc and cuDNN are found (the default), insist, don't look
//   GROUPCONV_CUDA_ARCHITECTURES=90   compute capabilities, separated by semicolons, instead of all
// `install.mjs --cuda` is GROUPCONV_CUDA=on, and says what the library then finds on this machine.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, realpathSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { nodeGypArguments } from './nodeGyp.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const require = createRequire(join(root, 'package.json'));
const build = join(root, 'build');
const insistsOnCuda = process.argv.includes('--cuda');
const cuda = insistsOnCuda ? 'on' : process.env.GROUPCONV_CUDA;
const say = (text) => console.log(`groupconv: ${text}`);

function run(script, args, environment = {}) {
  const env = { ...process.env, ...environment };
  return spawnSync(process.execPath, [script, ...args], { cwd: root, stdio: 'inherit', env }).status === 0;
}

/** Loads a binary in a child process: one that crashes must not take the installation along. */
function loads(file) {
  if (!existsSync(file)) return false;
  return (
    spawnSync(process.execPath, ['-e', `require(${JSON.stringify(file)})`], { stdio: 'ignore' }).status === 0
  );
}

function hasPrebuilt() {
  if (process.env.GROUPCONV_BUILD_FROM_SOURCE || process.env.npm_config_build_from_source) return false;
  const file = join(root, 'prebuilds', `${process.platform}-${process.arch}`, 'groupconv.node');
  if (!loads(file)) return false;
  say(`using ${file}`);
  return true;
}

function hasCMake() {
  const { status, stdout } = spawnSync('cmake', ['--version'], { encoding: 'utf8' });
  const [, major, minor] = (status === 0 && /(\d+)\.(\d+)/.exec(stdout)) || [];
  return Number(major) > 3 || (Number(major) === 3 && Number(minor) >= 21);
}

/** A copied tree brings the other tree's cache, and CMake would silently build the other tree's sources. */
function dropForeignBuild() {
  const cache = join(build, 'CMakeCache.txt');
  const home =
    existsSync(cache) && /^CMAKE_HOME_DIRECTORY:INTERNAL=(.*)$/m.exec(readFileSync(cache, 'utf8'))?.[1];
  const ours = home && existsSync(home) && realpathSync(home) === realpathSync(root);
  if (!ours) rmSync(build, { recursive: true, force: true });
}

function cmakeJs(command, ...options) {
  const parallel = process.env.CMAKE_BUILD_PARALLEL_LEVEL ?? String(Math.min(8, availableParallelism()));
  return run(require.resolve('cmake-js/bin/cmake-js'), [command, ...options], {
    CMAKE_BUILD_PARALLEL_LEVEL: parallel,
  });
}

/** @param choice auto, on, off, or undefined: as before, at first auto. */
function buildWithCMake(choice) {
  dropForeignBuild();
  const architectures = process.env.GROUPCONV_CUDA_ARCHITECTURES;
  const options = [
    ...(choice ? [`--CDGROUPCONV_CUDA=${choice}`] : []),
    ...(architectures ? [`--CDGROUPCONV_CUDA_ARCHITECTURES=${architectures}`] : []),
  ];
  // `build` alone configures only where nothing is configured yet.
  return (options.length === 0 || cmakeJs('configure', ...options)) && cmakeJs('build');
}

function buildWithGyp() {
  rmSync(build, { recursive: true, force: true });
  const [script, ...args] = nodeGypArguments(root, require);
  return run(script, args);
}

function buildFromSource() {
  const tool = process.env.GROUPCONV_BUILD_TOOL ?? (hasCMake() ? 'cmake' : 'gyp');
  say(`building with ${tool === 'cmake' ? 'cmake-js' : 'node-gyp'}`);
  if (tool !== 'cmake' && cuda === 'on') {
    say('the CUDA library is built with CMake 3.21 or newer, not with node-gyp');
    return false;
  }
  if (tool !== 'cmake') return buildWithGyp();
  if (buildWithCMake(cuda)) return true;
  if (cuda === 'on') return false;
  if (hasCudaCompiler()) {
    say('CMake failed; trying without CUDA');
    if (buildWithCMake('off')) return true;
  }
  if (process.env.GROUPCONV_BUILD_TOOL) return false;
  say('CMake failed; trying node-gyp');
  return buildWithGyp();
}

function hasCudaCompiler() {
  const cache = join(build, 'CMakeCache.txt');
  return existsSync(cache) && /^CMAKE_CUDA_COMPILER:/m.test(readFileSync(cache, 'utf8'));
}

/** What the new library says of this machine, in a child process. */
function sayWhatCudaFinds(addon) {
  const ask = `process.stdout.write(require(${JSON.stringify(addon)}).cudaLibrary().reason)`;
  const { status, stdout } = spawnSync(process.execPath, ['-e', ask], { encoding: 'utf8' });
  const library = join(dirname(addon), 'libgroupconv_cuda.so');
  say(`${library} ${status === 0 ? `is built; here: ${stdout || 'a GPU can be used'}` : 'does not load'}`);
}

if (!process.env.GROUPCONV_SKIP_BUILD && (cuda === 'on' || !hasPrebuilt())) {
  const built = join(build, 'Release', 'groupconv.node');
  if (!buildFromSource()) {
    say(
      'no native addon. It needs a C++20 compiler (g++ 10, clang 12), and cmake >= 3.21 or make and python3.',
    );
    process.exitCode = 1;
  } else if (!loads(built)) {
    say(`${built} was built but does not load`);
    process.exitCode = 1;
  } else if (insistsOnCuda) {
    sayWhatCudaFinds(built);
  }
}
