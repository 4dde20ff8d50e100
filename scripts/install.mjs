// npm's "install" script: takes a shipped binary that loads, else builds from source, with CMake or else node-gyp.
//   GROUPCONV_SKIP_BUILD=1            do nothing
//   GROUPCONV_BUILD_FROM_SOURCE=1     ignore shipped binaries (npm's --build-from-source does the same)
//   GROUPCONV_BUILD_TOOL=cmake|gyp    use this tool only
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

function buildWithCMake() {
  dropForeignBuild();
  const parallel = process.env.CMAKE_BUILD_PARALLEL_LEVEL ?? String(Math.min(8, availableParallelism()));
  return run(require.resolve('cmake-js/bin/cmake-js'), ['build'], { CMAKE_BUILD_PARALLEL_LEVEL: parallel });
}

function buildWithGyp() {
  rmSync(build, { recursive: true, force: true });
  const [script, ...args] = nodeGypArguments(root, require);
  return run(script, args);
}

function buildFromSource() {
  const tool = process.env.GROUPCONV_BUILD_TOOL ?? (hasCMake() ? 'cmake' : 'gyp');
  say(`building with ${tool === 'cmake' ? 'cmake-js' : 'node-gyp'}`);
  if (tool !== 'cmake') return buildWithGyp();
  if (buildWithCMake()) return true;
  if (process.env.GROUPCONV_BUILD_TOOL) return false;
  say('CMake failed; trying node-gyp');
  return buildWithGyp();
}

if (!process.env.GROUPCONV_SKIP_BUILD && !hasPrebuilt()) {
  const built = join(build, 'Release', 'groupconv.node');
  if (!buildFromSource()) {
    say(
      'no native addon. It needs a C++20 compiler (g++ 10, clang 12), and cmake >= 3.21 or make and python3.',
    );
    process.exitCode = 1;
  } else if (!loads(built)) {
    say(`${built} was built but does not load`);
    process.exitCode = 1;
  }
}
