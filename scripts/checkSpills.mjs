// npm run cuda:spills [-- build folder]: prints what ptxas said of every kernel in the last build of the CUDA library
// (cmake/keepUsage.sh keeps it), and fails where one spills or has a stack frame on any architecture: its inner loop
// would then go through memory.
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

// Kernels that may, a little: the beginning of "file: kernel", and the most bytes of stack and of spills together, on the
// architecture with the most. Each is a debt: what no longer needs its entry is told.
const ALLOWED = {
  'ops/batchNorm/batchNorm.cuda.cu: batch_norm::add_moments<': 24,
  'ops/batchNorm/batchNorm.grad.cuda.cu: batch_norm::add_sums<': 16,
  'ops/batchNorm/batchNorm.grad.cuda.cu: apply<': 48,
  'ops/conv2d/conv2d.direct.cuda.cu: grad_input<': 96, // what is left when nothing else takes a problem
  'ops/conv2d/depthwise.gradWeight.cuda.cu: ': 16, // 3x3 at stride 1 in 16 bits, on 90 alone
  'ops/random/random.cuda.cu: generate': 40, // an array addressed by a variable
};

/** Every file below a folder whose name ends so. */
function filesBelow(folder, ending) {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return filesBelow(path, ending);
    return entry.name.endsWith(ending) ? [path] : [];
  });
}

/** One row for each kernel and architecture in ptxas's words. */
function readUsage(file) {
  const rows = [];
  const unit = file.replace(/^.*\/native\//, '').replace(/\.o\.usage$/, '');
  for (const line of readFileSync(file, 'utf8').split('\n')) {
    const entry = /Compiling entry function '(\S+)' for 'sm_(\w+)'/.exec(line);
    if (entry)
      rows.push({
        unit,
        kernel: entry[1],
        architecture: entry[2],
        registers: 0,
        shared: 0,
        stack: 0,
        spilled: 0,
      });
    const row = rows.at(-1);
    if (!row) continue;
    const memory = /(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads/.exec(line);
    // A device function that was not inlined is told after the kernel it serves: its frame counts, too.
    if (memory) {
      row.stack = Math.max(row.stack, Number(memory[1]));
      row.spilled += Number(memory[2]) + Number(memory[3]);
    }
    if (!/^ptxas info +: Used \d+ registers/.test(line)) continue;
    row.registers = Number(/Used (\d+) registers/.exec(line)[1]);
    row.shared = Number(/(\d+) bytes smem/.exec(line)?.[1] ?? 0);
  }
  return rows;
}

/** Names as in the source, without namespaces, return type and parameters. */
function demangle(names) {
  const { status, stdout } = spawnSync('c++filt', { input: names.join('\n'), encoding: 'utf8' });
  if (names.length === 0 || status !== 0) return names;
  return stdout
    .trimEnd()
    .split('\n')
    .map((name) =>
      name
        .replace(/\(anonymous namespace\)::|_GLOBAL__N__\w+::|groupconv::cuda::|groupconv::/g, '')
        .replace(/^void /, '')
        .replace(/\((?:[^()]|\([^()]*\))*\)$/, ''),
    );
}

function allowanceOf(name) {
  return Object.entries(ALLOWED).find(([beginning]) => name.startsWith(beginning))?.[1] ?? 0;
}

function table(rows) {
  const architectures = [...new Set(rows.map(({ architecture }) => architecture))].sort((a, b) => a - b);
  const lines = [
    `${architectures.map((each) => each.padStart(4)).join('')}   shared  stack  spilled  kernel`,
  ];
  for (const name of [...new Set(rows.map(({ name }) => name))].sort()) {
    const found = rows.filter((row) => row.name === name);
    const registers = architectures.map((each) =>
      String(found.find(({ architecture }) => architecture === each)?.registers ?? '-').padStart(4),
    );
    const most = (key, width) => String(Math.max(...found.map((row) => row[key]))).padStart(width);
    lines.push(
      `${registers.join('')} ${most('shared', 8)} ${most('stack', 6)} ${most('spilled', 8)}  ${name}`,
    );
  }
  return ['registers on each architecture; bytes, the most of all architectures', ...lines].join('\n');
}

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const units = join(process.argv[2] ?? join(root, 'build'), 'CMakeFiles', 'groupconv_cuda_units.dir');
const rows = existsSync(units) ? filesBelow(units, '.usage').flatMap(readUsage) : [];
demangle(rows.map(({ kernel }) => kernel)).forEach((name, i) => {
  rows[i].name = `${rows[i].unit}: ${name}`;
});
const spilling = rows.filter(({ stack, spilled }) => stack > 0 || spilled > 0);
const architectures = new Set(rows.map(({ architecture }) => architecture));
const failures = [
  ...(rows.length === 0 ? [`${units} tells of no kernel: npm run build:cuda first`] : []),
  ...spilling
    .filter(({ name, stack, spilled }) => stack + spilled > allowanceOf(name))
    .map((row) => `${row.name} on ${row.architecture}: stack ${row.stack}, spilled ${row.spilled} bytes`),
  // A unit that was compiled otherwise than the rest.
  ...[...new Set(rows.map(({ name }) => name))]
    .filter((name) => rows.filter((row) => row.name === name).length < architectures.size)
    .map((name) => `${name} is not there for every architecture`),
];
if (rows.length > 0) console.log(table(rows));
for (const beginning of Object.keys(ALLOWED))
  if (!spilling.some(({ name }) => name.startsWith(beginning)))
    console.log(`nothing spills any more in ${beginning}`);
for (const failure of failures) console.error(failure);
const count = (some) => new Set(some.map(({ name }) => name)).size;
console.log(`${count(rows)} kernels, ${count(spilling)} spill somewhere, ${failures.length} failures`);
process.exitCode = failures.length > 0 ? 1 : 0;
