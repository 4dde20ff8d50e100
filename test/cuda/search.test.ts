/**
 * Where the build finds nvcc, its toolkit and cuDNN's headers, in trees as NVIDIA, conda, pip and Debian make them, with
 * a made-up nvcc; and that whatever is wrong with those stops nobody who has not asked for CUDA.
 */
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import test from 'ava';

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const folder = realpathSync(mkdtempSync(join(tmpdir(), 'groupconv-search-')));
test.after.always(() => rmSync(folder, { recursive: true, force: true }));
const withCMake = spawnSync('cmake', ['--version']).status === 0 ? test : test.skip;

/** A tree with these files; what an nvcc says when it is asked for its version, and nothing else. */
function tree(name: string, files: readonly string[], version = '12.4'): string {
  const place = join(folder, name);
  for (const file of files) {
    const path = join(place, file);
    mkdirSync(dirname(path), { recursive: true });
    const text = file.endsWith('nvcc')
      ? `#!/bin/sh
case $1 in
--version) echo 'Cuda compilation tools, release ${version}, V${version}.99' ;;
--list-gpu-code) printf 'sm_80\\nsm_90\\n' ;;
*) echo 'the host compiler is too new' >&2; exit 1 ;;
esac
`
      : file.endsWith('cudnn_version.h')
        ? '#define CUDNN_MAJOR 9\n#define CUDNN_MINOR 3\n#define CUDNN_PATCHLEVEL 1\n'
        : '';
    writeFileSync(path, text);
    if (file.endsWith('nvcc') || file.endsWith('python3')) chmodSync(path, 0o755);
  }
  return place;
}

/** The environment without what could lead to a toolkit of this machine's. */
const bare = { PATH: '/usr/bin:/bin', HOME: folder };

/** What CMake's search finds in this environment, by variable. */
function search(env: NodeJS.ProcessEnv, ...more: string[]): Record<string, string> {
  const script = join(mkdtempSync(join(folder, 'script-')), 'search.cmake');
  const told = ['nvcc', 'nvcc_version', 'nvcc_refused', 'cuda_include', 'cuda_lib'];
  told.push('CUDNN_INCLUDE_DIR', 'CUDNN_VERSION');
  writeFileSync(
    script,
    `cmake_minimum_required(VERSION 3.21)
list(APPEND CMAKE_MODULE_PATH "${root}/cmake")
include("${root}/cmake/CudaSearch.cmake")
groupconv_find_nvcc()
groupconv_find_toolkit("\${nvcc}")
get_filename_component(CUDNN_TOOLKIT_ROOT "\${nvcc}" DIRECTORY)
get_filename_component(CUDNN_TOOLKIT_ROOT "\${CUDNN_TOOLKIT_ROOT}" DIRECTORY)
find_package(CUDNN 9 QUIET)
foreach(each ${told.join(' ')})
  message("\${each}=\${\${each}}")
endforeach()
`,
  );
  // In an empty folder, which has no .cuda-toolchain.
  const { stderr, status } = spawnSync('cmake', [...more, '-P', script], {
    cwd: dirname(script),
    env: { ...bare, ...env },
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(stderr);
  return Object.fromEntries(stderr.split('\n').map((line) => line.split('=', 2)));
}

const processor = process.arch === 'arm64' ? 'aarch64' : 'x86_64';
const host = `-DCMAKE_HOST_SYSTEM_PROCESSOR=${processor}`;

withCMake("NVIDIA's toolkit, with cuDNN in it", (t) => {
  const files = ['bin/nvcc', 'include/cuda_runtime.h', 'lib64/libcudart_static.a', 'include/cudnn_version.h'];
  const place = tree('toolkit', files);
  for (const env of [{ CUDA_HOME: place }, { CUDA_PATH: place }, { CUDACXX: join(place, 'bin/nvcc') }]) {
    const found = search(env);
    t.is(found.nvcc, join(place, 'bin/nvcc'));
    t.is(found.nvcc_version, '12.4');
    t.is(found.cuda_include, join(place, 'include'));
    t.is(found.cuda_lib, join(place, 'lib64'));
    t.is(found.CUDNN_INCLUDE_DIR, join(place, 'include'));
    t.is(found.CUDNN_VERSION, '9.3.1');
  }
});

withCMake('conda, which keeps the toolkit under targets', (t) => {
  const target = `targets/${processor}-linux`;
  const headers = [`${target}/include/cuda_runtime.h`, `${target}/lib/libcudart_static.a`];
  const place = tree('conda', ['bin/nvcc', 'include/cudnn_version.h', ...headers]);
  const found = search({ CONDA_PREFIX: place }, host);
  t.is(found.nvcc, join(place, 'bin/nvcc'));
  t.is(found.cuda_include, join(place, target, 'include'));
  t.is(found.cuda_lib, join(place, target, 'lib'));
  t.is(found.CUDNN_INCLUDE_DIR, join(place, 'include'));
});

/** A Python on PATH that says where its packages are. */
function python(name: string, files: readonly string[]) {
  const place = tree(name, [...files.map((file) => join('site', file)), 'bin/python3']);
  writeFileSync(join(place, 'bin/python3'), `#!/bin/sh\necho '${join(place, 'site')}'\n`);
  return { site: join(place, 'site', 'nvidia'), env: { PATH: `${join(place, 'bin')}:${bare.PATH}` } };
}

withCMake("pip's wheels: CUDA 12's are one for each part, CUDA 13's share a folder", (t) => {
  for (const [nvcc, runtime] of [
    ['cuda_nvcc', 'cuda_runtime'],
    ['cu13', 'cu13'],
  ] as const) {
    const headers = [`nvidia/${runtime}/include/cuda_runtime.h`, `nvidia/${runtime}/lib/libcudart_static.a`];
    const { site, env } = python(`wheels-${nvcc}`, [
      `nvidia/${nvcc}/bin/nvcc`,
      ...headers,
      'nvidia/cudnn/include/cudnn_version.h',
    ]);
    const found = search(env);
    t.is(found.nvcc, join(site, nvcc, 'bin/nvcc'));
    t.is(found.cuda_include, join(site, runtime, 'include'));
    t.is(found.cuda_lib, join(site, runtime, 'lib'));
    t.is(realpathSync(found.CUDNN_INCLUDE_DIR as string), join(site, 'cudnn/include'));
  }
});

withCMake('cuDNN of the system, beside a toolkit without it', (t) => {
  const toolkit = tree('bareToolkit', ['bin/nvcc', 'include/cuda_runtime.h', 'lib64/libcudart_static.a']);
  for (const include of ['usr/include', `usr/include/${processor}-linux-gnu`]) {
    const system = tree(`system${include.length}`, [`${include}/cudnn_version.h`]);
    const found = search(
      { CUDA_HOME: toolkit },
      `-DCMAKE_FIND_ROOT_PATH=${system}`,
      `-DCMAKE_LIBRARY_ARCHITECTURE=${processor}-linux-gnu`,
    );
    t.is(found.nvcc, join(toolkit, 'bin/nvcc'));
    t.is(found.CUDNN_INCLUDE_DIR, join(system, include));
  }
});

withCMake('an nvcc that is too old is told, and the next one taken', (t) => {
  const old = tree('old', ['bin/nvcc'], '11.8');
  const place = tree('next', ['bin/nvcc']);
  const found = search({ CUDACXX: join(old, 'bin/nvcc'), CUDA_HOME: place });
  t.is(found.nvcc, join(place, 'bin/nvcc'));
  t.regex(found.nvcc_refused ?? '', /old\/bin\/nvcc is version 11\.8, 12\.0 is needed/);
  t.is(found.cuda_include, 'NOTFOUND');
  t.is(found.cuda_lib, 'NOTFOUND');
});

/** What nvcc is told to make of architectures. */
function codeFor(architectures: string): [options: string, names: string] {
  const script = join(mkdtempSync(join(folder, 'code-')), 'code.cmake');
  writeFileSync(
    script,
    `cmake_minimum_required(VERSION 3.21)
include("${root}/cmake/CudaCode.cmake")
groupconv_gpu_code("sm_80\\nsm_86\\nsm_89\\nsm_90\\nsm_100\\nsm_120\\n" "${architectures}")
message("\${gpu_code}")
message("\${gpu_code_names}")
`,
  );
  const { stderr } = spawnSync('cmake', ['-P', script], { encoding: 'utf8' });
  const [options = '', names = ''] = stderr.split('\n');
  return [options.replaceAll('--generate-code=arch=', ''), names];
}

withCMake('machine code by generation, and PTX of the newest that later GPUs can take', (t) => {
  t.deepEqual(codeFor('90;80;86'), [
    'compute_80,code=[sm_80,sm_86];compute_90,code=[sm_90,compute_90]',
    'sm_80 sm_86 sm_90 compute_90',
  ]);
  t.deepEqual(codeFor('100;120;75'), [
    'compute_100,code=[sm_100];compute_120,code=[sm_120,compute_120]',
    'sm_100 sm_120 compute_120',
  ]);
  t.deepEqual(codeFor('90;90a'), [
    'compute_90,code=[sm_90,compute_90];compute_90a,code=[sm_90a]',
    'sm_90 sm_90a compute_90',
  ]);
  t.deepEqual(codeFor('90a'), ['compute_90a,code=[sm_90a,compute_90a]', 'sm_90a compute_90a']);
  for (const nothing of ['75', 'native', '']) t.deepEqual(codeFor(nothing), ['', '']);
});

withCMake("an nvcc that doesn't work stops nobody who hasn't asked for it", (t) => {
  const toolkit = tree('broken', ['bin/nvcc', 'include/cudnn_version.h']);
  const env = { ...process.env, CUDACXX: join(toolkit, 'bin/nvcc'), CUDNN_ROOT: toolkit };
  const configure = (name: string, ...options: string[]) =>
    spawnSync('cmake', ['-S', root, '-B', join(folder, name), '-DGROUPCONV_ADDON=OFF', ...options], {
      env,
      encoding: 'utf8',
    });
  const auto = configure('auto', '-DGROUPCONV_CUDA=auto');
  t.is(auto.status, 0, auto.stderr);
  t.regex(auto.stdout, /no CUDA library \(.*nvcc builds no program: the host compiler is too new/);
  const on = configure('on', '-DGROUPCONV_CUDA=on');
  t.not(on.status, 0);
  t.regex(
    on.stderr,
    /GROUPCONV_CUDA=on: .*nvcc builds\s+no\s+program:\s+the\s+host\s+compiler\s+is\s+too\s+new/s,
  );
  const spaced = tree('a toolkit', ['bin/nvcc', 'include/cuda_runtime.h', 'include/cudnn_version.h']);
  env.CUDACXX = join(spaced, 'bin/nvcc');
  env.CUDNN_ROOT = spaced;
  const spaces = configure('spaces', '-DGROUPCONV_CUDA=auto');
  t.is(spaces.status, 0, spaces.stderr);
  t.regex(spaces.stdout, /no CUDA library \(.*CMake can't use a toolkit whose path has spaces/);
  const none = configure('none', '-DGROUPCONV_CUDA=auto', '-DGROUPCONV_CUDA_ARCHITECTURES=75');
  t.is(none.status, 0, none.stderr);
  t.regex(none.stdout, /no CUDA library \(.*nvcc compiles for none of 75/);
});
