// npm run cuda:plans [-- files of shapes]: NVIDIA's cuDNN, without a GPU, plans every convolution of these layers for
// one GPU of each architecture (native/cuda/deviceless), and the command fails where it refuses one. The cuDNN is that
// of `npm run cuda:toolchain -- --run`; a plan takes up to a second, a file about two minutes.
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const shapes = ['resnext50_32x4d', 'mobilenet_v1', 'odd'].map((name) => `benchmarks/shapes/${name}.txt`);
const folder = join(root, 'build-test');

const pythons = join(root, '.cuda-toolchain', 'lib');
const nvidia = (existsSync(pythons) ? readdirSync(pythons) : [])
  .map((python) => join(pythons, python, 'site-packages', 'nvidia'))
  .find((wheels) => existsSync(join(wheels, 'cu13', 'lib', 'libcublasLt.so.13')));
if (!nvidia) {
  console.error('groupconv: no cuDNN that could plan; npm run cuda:toolchain -- --run installs it');
  process.exit(1);
}

function run(command, options, env = {}) {
  const { status } = spawnSync(command, options, {
    cwd: root,
    stdio: 'inherit',
    env: { ...process.env, ...env },
  });
  if (status !== 0) process.exit(status ?? 1);
}
run('cmake', ['-S', '.', '-B', folder, '-DGROUPCONV_ADDON=OFF', '-DGROUPCONV_TESTS=ON', '-Wno-dev']);
run('cmake', ['--build', folder, '--parallel', '--target', 'cudnn_plans']);
const files = process.argv.slice(2);
run(join(folder, 'cudnn_plans'), files.length > 0 ? files : shapes, {
  GROUPCONV_CUDNN: join(folder, 'Release', 'libgroupconv_cudnn_deviceless.so'),
  GROUPCONV_DEVICELESS_CUDNN: join(nvidia, 'cudnn', 'lib', 'libcudnn.so.9'),
  LD_LIBRARY_PATH: join(nvidia, 'cu13', 'lib'), // where older versions don't look for cuBLAS and NVRTC
});
