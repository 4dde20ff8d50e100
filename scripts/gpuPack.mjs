// npm run gpu:pack: packs what gpu:check needs at run time into .carry/, for a machine with a GPU, CMake and nvcc that has
// neither Node nor a network: ../shared/offline/pack.sh (or the script that is named), on a node_modules without what
// only development needs. There:
//   python3 .carry/unpack.py && export PATH="$PWD/.carry/bin:$PATH" && node --import tsx benchmarks/gpu/check.ts
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
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
const pack = process.argv[2] ?? join(root, '..', 'shared', 'offline', 'pack.sh');
if (!existsSync(pack)) {
  console.error(`gpu:pack: there is no ${pack}; name the script that packs Node and node_modules`);
  process.exit(1);
}

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

const copy = mkdtempSync(join(tmpdir(), 'groupconv-pack-'));
try {
  const isNested = (path) => /node_modules$/.test(path);
  const isIdle = (path) => /\.(map|md|d\.[cm]?ts)$/.test(path);
  for (const folder of needed)
    cpSync(folder, join(copy, folder.slice(root.length)), {
      recursive: true,
      filter: (path) => path === folder || !(isNested(path) || isIdle(path)),
    });
  const { status } = spawnSync('bash', [pack], { cwd: copy, stdio: 'inherit' });
  if (status !== 0) process.exit(status ?? 1);
  const carry = join(root, '.carry');
  rmSync(carry, { recursive: true, force: true });
  mkdirSync(carry);
  cpSync(join(copy, '.carry'), carry, { recursive: true });
  const files = ['node.xz', 'node_modules.tar.xz', 'unpack.py'].map((file) => join(carry, file));
  const megabytes = files.reduce((sum, file) => sum + statSync(file).size, 0) / 2 ** 20;
  console.log(`gpu:pack: ${needed.size} packages, ${megabytes.toFixed(1)} MiB in .carry`);
  if (megabytes > mostMegabytes) {
    console.error(`gpu:pack: more than ${mostMegabytes} MiB`);
    process.exitCode = 1;
  }
} finally {
  rmSync(copy, { recursive: true, force: true });
}
