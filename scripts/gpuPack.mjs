// npm run gpu:pack [-- file.tar.xz]: packs Node and the packages that gpu:check needs into .carry/gpu.tar.xz, for a machine
// with a GPU, CMake and nvcc that has neither Node nor a network, and prints what to run there, beside the sources. The
// file's name says how it is compressed.
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

// Runs TypeScript; the addon's headers; the suite; ONNX files; images; the report's chart.
const roots = [
  'tsx',
  'node-api-headers',
  'node-addon-api',
  'ava',
  'expect-type',
  'pbf',
  'sharp',
  'vega',
  'vega-lite',
];
const mostMegabytes = 50; // of 64 that travel, sources included

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const packed = resolve(process.argv[2] ?? join(root, '.carry', 'gpu.tar.xz'));
const shown = packed.startsWith(root) ? packed.slice(root.length + 1) : packed;
/** A package's folder as Node finds it: nested in the package that needs it, or beside one of its parents. */
function find(name, from) {
  for (let folder = from; folder.startsWith(root); folder = dirname(folder)) {
    const found = join(folder, 'node_modules', name);
    if (existsSync(join(found, 'package.json'))) return found;
  }
  return null; // for another platform
}
const needed = new Set();
function need(name, from) {
  const folder = find(name, from);
  if (!folder || needed.has(folder)) return;
  needed.add(folder);
  const { dependencies, optionalDependencies } = JSON.parse(
    readFileSync(join(folder, 'package.json'), 'utf8'),
  );
  for (const each of Object.keys({ ...dependencies, ...optionalDependencies })) need(each, folder);
}
for (const name of roots) need(name, root);

const run = (command, ...args) => {
  const { status, error } = spawnSync(command, args, { stdio: 'inherit' });
  if (status === 0) return;
  console.error(`gpu:pack: ${command} ${error?.message ?? `ended with ${status}`}`);
  process.exit(1);
};
const copy = mkdtempSync(join(tmpdir(), 'groupconv-pack-'));
try {
  const isNested = (path) => /node_modules$/.test(path);
  const isIdle = (path) => /\.(map|md|d\.[cm]?ts)$/.test(path);
  for (const folder of needed)
    cpSync(folder, join(copy, folder.slice(root.length)), {
      recursive: true,
      filter: (path) => path === folder || !(isNested(path) || isIdle(path)),
    });
  const node = join(copy, '.carry', 'bin', 'node');
  cpSync(process.execPath, node);
  run('strip', '-s', node);
  mkdirSync(dirname(packed), { recursive: true });
  run('tar', '-C', copy, '-caf', packed, '.carry', 'node_modules');
  const megabytes = statSync(packed).size / 2 ** 20;
  console.log(`gpu:pack: Node and ${needed.size} packages, ${megabytes.toFixed(1)} MiB in ${shown}
There, beside the sources:
  python3 -c "import tarfile; tarfile.open('${shown}').extractall('.')"
  export PATH="$PWD/.carry/bin:$PATH"
  node --import tsx benchmarks/gpu/check.ts`);
  if (megabytes > mostMegabytes && packed.endsWith('.xz')) {
    console.error(`gpu:pack: more than ${mostMegabytes} MiB`);
    process.exitCode = 1;
  }
} finally {
  rmSync(copy, { recursive: true, force: true });
}
