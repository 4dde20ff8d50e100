// npm's "prepare" script: builds dist/. It also runs where devDependencies are absent; dist/ then stays as it is.
import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';

const require = createRequire(import.meta.url);
let tsup;
try {
  tsup = require.resolve('tsup/dist/cli-default.js');
} catch {
  console.log('groupconv: no tsup here, dist/ is left as it is');
}
if (tsup) process.exitCode = spawnSync(process.execPath, [tsup], { stdio: 'inherit' }).status ?? 1;
