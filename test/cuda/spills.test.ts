/** The check for spilling kernels, on made-up words of ptxas. */
import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import test from 'ava';

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const folder = mkdtempSync(join(tmpdir(), 'groupconv-spills-'));
test.after.always(() => rmSync(folder, { recursive: true, force: true }));

interface Kernel {
  architecture: number;
  stack?: number;
  spilled?: number;
}

function wordsOfPtxas(kernels: Kernel[]): string {
  return kernels
    .map(
      ({ architecture, stack = 0, spilled = 0 }) =>
        `ptxas info    : Compiling entry function '_Z4blurPf' for 'sm_${architecture}'
ptxas info    : Function properties for _Z4blurPf
    ${stack} bytes stack frame, ${spilled} bytes spill stores, ${spilled} bytes spill loads
ptxas info    : Used 42 registers, used 1 barriers, 4224 bytes smem, 384 bytes cmem[0]
`,
    )
    .join('');
}

/** What the check says of one unit with these kernels, and another that is well. */
function check(name: string, kernels: Kernel[]) {
  const build = join(folder, name);
  const units = join(build, 'CMakeFiles', 'groupconv_cuda_units.dir', 'native', 'ops', 'blur');
  mkdirSync(units, { recursive: true });
  writeFileSync(join(units, 'blur.cuda.cu.o.usage'), wordsOfPtxas(kernels));
  writeFileSync(
    join(units, 'other.cuda.cu.o.usage'),
    wordsOfPtxas([{ architecture: 80 }, { architecture: 90 }]),
  );
  return spawnSync(process.execPath, [join(root, 'scripts', 'checkSpills.mjs'), build], { encoding: 'utf8' });
}

test('a kernel that spills or has a stack frame on one architecture fails the check', (t) => {
  const well = check('well', [{ architecture: 80 }, { architecture: 90 }]);
  t.is(well.status, 0, well.stderr);
  t.regex(well.stdout, /42 +42 +4224 +0 +0 +ops\/blur\/blur\.cuda\.cu: blur/);

  const spilling = check('spilling', [{ architecture: 80 }, { architecture: 90, spilled: 8 }]);
  t.is(spilling.status, 1);
  t.regex(spilling.stderr, /blur on 90: stack 0, spilled 16 bytes/);

  const frame = check('frame', [{ architecture: 80, stack: 32 }, { architecture: 90 }]);
  t.is(frame.status, 1);
  t.regex(frame.stderr, /blur on 80: stack 32, spilled 0 bytes/);
});

test('a kernel that one architecture lacks, or no kernel at all, fails the check', (t) => {
  const lacking = check('lacking', [{ architecture: 90 }]);
  t.is(lacking.status, 1);
  t.regex(lacking.stderr, /blur is not there for every architecture/);
  const nothing = spawnSync(process.execPath, [join(root, 'scripts', 'checkSpills.mjs'), folder], {
    encoding: 'utf8',
  });
  t.is(nothing.status, 1);
  t.regex(nothing.stderr, /npm run build:cuda first/);
});

test("the compiler's launcher keeps what ptxas says, shows the rest, and fails as the compiler does", (t) => {
  const compiler = join(folder, 'compiler.sh');
  const words = wordsOfPtxas([{ architecture: 80 }]);
  writeFileSync(join(folder, 'words'), `${words}unit.cu(3): warning: unused\n`);
  writeFileSync(compiler, `#!/bin/sh\ncat '${join(folder, 'words')}' >&2\nexit 3\n`);
  chmodSync(compiler, 0o755);
  const object = join(folder, 'unit.o');
  const launcher = join(root, 'cmake', 'keepUsage.sh');
  const { status, stderr } = spawnSync(launcher, [compiler, '-c', 'unit.cu', '-o', object], {
    encoding: 'utf8',
  });
  t.is(status, 3);
  t.is(stderr, 'unit.cu(3): warning: unused\n');
  t.is(readFileSync(`${object}.usage`, 'utf8'), words);
  t.false(existsSync(`${object}.messages`));
});
