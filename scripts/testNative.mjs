// Builds and runs the C++ tests: testNative.mjs [-D… for CMake's configuration] [-R pattern of tests].
import { spawnSync } from 'node:child_process';
import { availableParallelism } from 'node:os';

const args = process.argv.slice(2);
const configuration = args.filter((arg) => arg.startsWith('-D'));
const selection = args.filter((arg) => !arg.startsWith('-D'));
const label = configuration.join(' ').match(/SANITIZE=(\w+)|TOOLCHAIN_FILE=.*?(\w+)-linux/);
const folder = label ? `build-test-${label[1] ?? label[2]}` : 'build-test';
// ThreadSanitizer needs its addresses free, which a kernel's wide randomisation of them does not grant.
const fixed = label?.[1] === 'thread' && spawnSync('setarch', ['-R', 'true']).status === 0;
// The emulated kernels' tests have one thread each.
const parallel = ['--parallel', String(availableParallelism())];
const ctest = ['ctest', ['--test-dir', folder, '--output-on-failure', ...parallel, ...selection]];
const steps = [
  ['cmake', ['-S', '.', '-B', folder, '-DGROUPCONV_ADDON=OFF', '-DGROUPCONV_TESTS=ON', ...configuration]],
  ['cmake', ['--build', folder, '--parallel']],
  fixed ? ['setarch', ['-R', ctest[0], ...ctest[1]]] : ctest,
];
for (const [command, options] of steps) {
  const { status } = spawnSync(command, options, { stdio: 'inherit' });
  if (status !== 0) process.exit(status ?? 1);
}
