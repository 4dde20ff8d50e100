import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import test from 'ava';

const root = dirname(dirname(fileURLToPath(import.meta.url)));

function files(folder: string, ending: RegExp): string[] {
  return readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
    .filter(
      (entry) => entry.isFile() && ending.test(entry.name) && !entry.parentPath.includes('node_modules'),
    )
    .map((entry) => relative(root, join(entry.parentPath, entry.name)))
    .sort();
}
const read = (file: string) => readFileSync(join(root, file), 'utf8');

/** lib's floors, from the ground up: a file imports from lower floors only. */
const floors: RegExp[][] = [
  [/^lib\/(errors|dtype|scope)\.ts$/],
  [/^lib\/(native|options)\.ts$/],
  [/^lib\/(recording|device|activation)\.ts$/],
  [/^lib\/storage\.ts$/],
  [/^lib\/(autograd|feed)\.ts$/],
  [/^lib\/tensor\.ts$/],
  [/^lib\/(record|create|state|capture)\.ts$/],
  [/^lib\/random\.ts$/],
  [/^lib\/ops\//],
  [/^lib\/module\.ts$/],
  [/^lib\/probe\.ts$/],
  [/^lib\/(modules|optim|io)\//, /^lib\/summaryTable\.ts$/],
  [/^lib\/(models\/|data\/|summary\.ts$)/],
  [/^lib\/training\//],
  [/^lib\/index\.ts$/],
];
/** Folders whose files may use one another. Operators may not. */
const families = [
  /^lib\/modules\//,
  /^lib\/models\//,
  /^lib\/optim\//,
  /^lib\/io\//,
  /^lib\/data\//,
  /^lib\/training\//,
  /^lib\/(errors|dtype|scope)\.ts$/,
];

function floorOf(file: string): number {
  return floors.findIndex((patterns) => patterns.some((pattern) => pattern.test(file)));
}

test('every file of lib stands on a floor and imports from below', (t) => {
  for (const file of files('lib', /\.ts$/)) {
    const floor = floorOf(file);
    t.not(floor, -1, `${file} has no floor`);
    for (const [, isType, target] of read(file).matchAll(
      /^(?:import|export) (type )?[^;]*?from '(\.[^']+)\.js'/gms,
    )) {
      const imported = `${normalize(join(dirname(file), target as string))}.ts`;
      const related = families.some((family) => family.test(file) && family.test(imported));
      // A type-only import names a shape, it calls nothing.
      t.true(
        isType !== undefined || related || floorOf(imported) < floor,
        `${file} imports ${imported}, which is not below it`,
      );
    }
  }
});

test('only lib/native.ts names the addon', (t) => {
  for (const file of files('lib', /\.ts$/))
    if (file !== 'lib/native.ts') t.false(/\.node['"`]/.test(read(file)), `${file} names the addon`);
});

/** Which rooms of native/ and bindings/ a file may include from. */
function allowedRooms(file: string): RegExp[] {
  const op = /^native\/ops\/(\w+)\//.exec(file)?.[1];
  if (file.startsWith('native/core/')) return [/^core\//];
  if (file.startsWith('native/cpu/')) return [/^core\//, /^cpu\//];
  // The tools of CUDA's tests set it beside the CPU.
  if (file === 'native/cuda/testing.h') return [/^core\//, /^cpu\//, /^cuda\//, /^ops\/convert\/convert\.h$/];
  if (file.startsWith('native/cuda/')) return [/^core\//, /^cuda\//];
  if (!op)
    return [/^core\//, /^cpu\//, /^cuda\/(library|settings|stream)\.h$/, /^ops\/\w+\/[\w.]+\.h$/, /^\w+\.h$/]; // bindings, benchmarks
  const own = new RegExp(`^ops/${op}/`);
  if (/\.cuda(\.\w+)?\.(cu|h)$/.test(file)) return [/^core\//, /^cuda\//, own];
  // The door and the contract know no device.
  if (file === `native/ops/${op}/${op}.h` || file === `native/ops/${op}/${op}.cpp`) return [/^core\//, own];
  return [/^core\//, /^cpu\//, own];
}

test('native includes point down; an operator includes no other operator', (t) => {
  for (const file of [...files('native', /\.(h|cpp|cu)$/), ...files('bindings', /\.(h|cpp|cu)$/)]) {
    const rooms = allowedRooms(file);
    for (const [, included] of read(file).matchAll(/^#include "([^"]+)"/gm)) {
      t.true(
        rooms.some((room) => room.test(included as string)),
        `${file} includes ${included}`,
      );
      t.false(/\.(cpu|simd|cuda)\.(cpp|cu)$/.test(included as string), `${file} includes a leaf`);
    }
  }
});

test('napi.h has one door, simd.h is for vectorised units', (t) => {
  for (const file of [...files('native', /\.(h|cpp|cu)$/), ...files('bindings', /\.(h|cpp|cu)$/)]) {
    const text = read(file);
    if (file !== 'bindings/napi_setup.h')
      t.false(/#include <(napi|node_api)\.h>/.test(text), `${file} includes napi.h`);
    if (!/(\.simd\.cpp|\.kernels\.h)$|^native\/cpu\/\w+\.h$/.test(file))
      t.false(text.includes('"cpu/simd.h"'), `${file} includes simd.h`);
  }
});

test('every operator has its header, its door, its reference and its test', (t) => {
  for (const entry of readdirSync(join(root, 'native', 'ops')))
    for (const ending of ['.h', '.cpp', '.cpu.cpp', '.test.cpp'])
      t.true(
        files(`native/ops/${entry}`, /./).includes(`native/ops/${entry}/${entry}${ending}`),
        entry + ending,
      );
});

test('every operator with CUDA solvers shows that its tests notice flaws in them', (t) => {
  const tests = files('native/ops', /\.cuda\.test\.cu$/)
    .map((file) => read(file).replace(/\s/g, ''))
    .join();
  let offers = 0;
  for (const file of files('native/ops', /\.cuda\.cu$/))
    for (const [, op] of read(file).matchAll(/offer<\w+, \w+>\(\s*"(\w+)"/g)) {
      const registry = `${op?.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)}_registry()`;
      t.true(tests.includes(`must_notice(${registry}`), `no test says must_notice(${registry}, …)`);
      offers++;
    }
  t.true(offers > 10);
});

test('files can be read in one sitting', (t) => {
  const sources = [
    ...files('native', /\.(h|cpp|cu)$/),
    ...files('bindings', /\.(h|cpp|cu)$/),
    ...files('lib', /\.ts$/),
    ...files('benchmarks', /\.(ts|cpp)$/),
    ...files('examples', /\.ts$/),
  ];
  for (const file of sources) {
    const lines = read(file).split('\n').length;
    t.true(lines <= 360, `${file} has ${lines} lines: is there a second idea in it?`);
  }
});
