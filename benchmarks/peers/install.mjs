// Installs what the benchmarks compare with: npm packages beside this file, and the oneDNN program where oneDNN is.
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const here = fileURLToPath(new URL('.', import.meta.url));
const run = (command, args, options = {}) =>
  spawnSync(command, args, { cwd: here, stdio: 'inherit', ...options }).status === 0;

// No install scripts: onnxruntime-node's fetches CUDA libraries from outside npm; what the CPU needs is in the package.
const packages = run('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund'], {
  env: { ...process.env, ONNXRUNTIME_NODE_INSTALL: 'skip', ONNXRUNTIME_NODE_INSTALL_CUDA: 'skip' },
});
const oneDnn =
  run('cmake', ['-S', '.', '-B', '../../build-peers'], { stdio: 'ignore' }) &&
  run('cmake', ['--build', '../../build-peers']);
console.log(`onnxruntime-node and TensorFlow.js: ${packages ? 'installed' : 'npm failed'}`);
console.log(`oneDNN: ${oneDnn ? 'built' : 'not found (apt-get install libdnnl-dev cmake g++)'}`);
console.log('PyTorch is used where python3, or the Python named by PYTHON, has torch and torchvision.');
process.exitCode = packages ? 0 : 1;
