// Builds and runs the C++ tests. Extra arguments go to CMake's configuration, e.g. -DGROUPCONV_SANITIZE=address,undefined.
import { spawnSync } from 'node:child_process';

const extra = process.argv.slice(2);
const folder = extra.length ? 'build-test-custom' : 'build-test';
const steps = [
  ['cmake', ['-S', '.', '-B', folder, '-DGROUPCONV_ADDON=OFF', '-DGROUPCONV_TESTS=ON', ...extra]],
  ['cmake', ['--build', folder, '--parallel']],
  ['ctest', ['--test-dir', folder, '--output-on-failure']],
];
for (const [command, args] of steps) {
  const { status } = spawnSync(command, args, { stdio: 'inherit' });
  if (status !== 0) process.exit(status ?? 1);
}
