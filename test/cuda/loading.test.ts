/**
 * Every reason why 'cuda' can't be used, brought about by a made-up situation in a process of its own: small shared
 * libraries in the place of ours and of the driver. None needs a GPU. Those that need the library for CUDA (npm run
 * build:cuda) or for the emulator (npm run test:native) are skipped where it isn't built, unless
 * GROUPCONV_CUDA_TESTS=required.
 */
import { execFile, spawnSync } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import test, { type ExecutionContext } from 'ava';
import type { DeviceInfo } from '../../lib/index.js';

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const addon = process.env.GROUPCONV_NATIVE ?? join(root, 'build', 'Release', 'groupconv.node');
const cudaLibrary = join(root, 'build', 'Release', 'libgroupconv_cuda.so');
const emulatedLibrary = join(root, 'build-test', 'Release', 'libgroupconv_cuda_emulated.so');
const folder = mkdtempSync(join(tmpdir(), 'groupconv-loading-'));
test.after.always(() => rmSync(folder, { recursive: true, force: true }));

const hasCompiler = process.platform === 'linux' && spawnSync('cc', ['--version']).status === 0;
const isRequired = process.env.GROUPCONV_CUDA_TESTS === 'required';
function testWhere(isThere: boolean, missing: string) {
  if (isThere || isRequired) return test;
  console.log(`    skipped: ${missing}`);
  return test.skip;
}
const withCompiler = testWhere(hasCompiler, 'no cc that makes Linux libraries');
const withCuda = testWhere(hasCompiler && existsSync(cudaLibrary), `no ${cudaLibrary}`);
const withEmulator = testWhere(existsSync(emulatedLibrary), `no ${emulatedLibrary}`);

interface Told {
  /** What devices() says of CUDA. */
  devices: DeviceInfo[];
  auto: string;
  device: string;
  code: string;
  message: string;
}

/** What a new process prints that runs one of the helpers with these variables. */
async function printed(helper: string, variables: NodeJS.ProcessEnv, ...args: string[]) {
  const env = { ...process.env, ...variables };
  for (const [name, value] of Object.entries(variables)) if (value === undefined) delete env[name];
  delete env.GROUPCONV_DEVICE;
  const script = join(root, 'test', 'helpers', helper);
  const { stdout } = await promisify(execFile)(process.execPath, ['--import=tsx', script, ...args], { env });
  return JSON.parse(stdout);
}

/** What a new process is told that has these variables and asks for a device. */
function ask(variables: NodeJS.ProcessEnv, device = 'cuda'): Promise<Told> {
  return printed('cudaDevices.ts', variables, device);
}

/** The process can't use CUDA, says so in all ways, and 'auto' computes on the CPU. */
async function isRefused(
  t: ExecutionContext,
  variables: NodeJS.ProcessEnv,
  reason: RegExp,
): Promise<DeviceInfo> {
  const told = await ask(variables);
  const [info] = told.devices;
  t.is(told.devices.length, 1);
  t.is(info?.device, 'cuda');
  t.false(info?.available);
  t.regex(info?.reason ?? '', reason);
  t.is(told.code, 'DEVICE_UNAVAILABLE');
  t.is(told.message, `cuda: ${info?.reason}`);
  t.is(told.auto, 'cpu');
  return info as DeviceInfo;
}

/** A shared library made of C. */
let compiled = 0; // tests run side by side: every library has a file of its own
function compile(name: string, source: string): string {
  const file = join(folder, `${++compiled}-${name}`);
  const { status, stderr } = spawnSync('cc', ['-shared', '-fPIC', '-xc', '-', '-o', file], { input: source });
  if (status !== 0) throw new Error(String(stderr));
  return file;
}

test('no library', async (t) => {
  const alone = join(folder, 'groupconv.node');
  copyFileSync(addon, alone);
  const variables = { GROUPCONV_NATIVE: alone, GROUPCONV_CUDA_LIBRARY: undefined };
  const info = await isRefused(t, variables, /has no CUDA library; npm run build:cuda/);
  t.is(info.library, undefined);
});

test('a path without a file, a folder, a text', async (t) => {
  const text = join(folder, 'text.so');
  writeFileSync(text, 'not a library');
  for (const [path, reason] of [
    [join(folder, 'nowhere.so'), /can't be opened: .*nowhere\.so: .*No such file/],
    [folder, /can't be opened: /],
    [text, /can't be opened: .*text\.so: (file too short|invalid ELF header)/],
  ] as const) {
    const info = await isRefused(t, { GROUPCONV_CUDA_LIBRARY: path }, reason);
    t.is(info.library, path);
  }
});

withCompiler('a library for another processor, and one that lacks another', async (t) => {
  const other = compile('other.so', 'int x;');
  const bytes = readFileSync(other);
  bytes.writeUInt16LE(0xf3, 18); // e_machine: RISC-V
  writeFileSync(other, bytes);
  await isRefused(t, { GROUPCONV_CUDA_LIBRARY: other }, /can't be opened: /);
  const lacking = compile(
    'lacking.so',
    'int missing_everywhere(void); int f(void) { return missing_everywhere(); }',
  );
  await isRefused(t, { GROUPCONV_CUDA_LIBRARY: lacking }, /undefined symbol: missing_everywhere/);
});

withCompiler('a library that is not ours, or of another version', async (t) => {
  const foreign = compile('foreign.so', 'int f(void) { return 1; }');
  await isRefused(t, { GROUPCONV_CUDA_LIBRARY: foreign }, /not groupconv's CUDA library/);
  const older = compile(
    'older.so',
    'int version = 12345; void* groupconv_cuda_backend(void) { return &version; }',
  );
  await isRefused(t, { GROUPCONV_CUDA_LIBRARY: older }, /built for version 12345 .*this addon has \d+/);
  const empty = compile('empty.so', 'void* groupconv_cuda_backend(void) { return 0; }');
  await isRefused(t, { GROUPCONV_CUDA_LIBRARY: empty }, /built for version 0 /);
});

/** A driver that has what the library asks it first, with these answers. */
function driver(name: string, answers: { init?: number; version?: number; devices?: number }): string {
  const { init = 0, version = 99000, devices = 1 } = answers;
  const place = mkdtempSync(join(folder, `${name}-`));
  const file = compile(
    `${name}.so`,
    `int cuInit(unsigned flags) { return ${init}; }
     int cuDriverGetVersion(int* version) { *version = ${version}; return 0; }
     int cuDeviceGetCount(int* count) { *count = ${devices}; return 0; }
     int cuGetErrorName(int error, const char** name) { *name = "CUDA_ERROR_MADE_UP"; return 0; }
     int cuGetErrorString(int error, const char** text) { *text = "as the test wants it"; return 0; }`,
  );
  copyFileSync(file, join(place, 'libcuda.so.1'));
  return place;
}

withCuda('the driver is missing, or is none', async (t) => {
  if (!spawnSync('ldconfig', ['-p'], { encoding: 'utf8' }).stdout?.includes('libcuda.so.1')) {
    const info = await isRefused(
      t,
      { GROUPCONV_CUDA_LIBRARY: cudaLibrary },
      /no NVIDIA driver: libcuda\.so\.1: /,
    );
    t.is(info.kind, 'CUDA');
    t.is(info.library, cudaLibrary);
    t.regex(info.runtime ?? '', /^1[2-9]\.\d+$/);
    t.is(info.driver, undefined);
  }
  const place = mkdtempSync(join(folder, 'none-'));
  copyFileSync(compile('none.so', 'int f(void) { return 1; }'), join(place, 'libcuda.so.1'));
  const variables = { GROUPCONV_CUDA_LIBRARY: cudaLibrary, LD_LIBRARY_PATH: place };
  await isRefused(t, variables, /no NVIDIA driver: libcuda\.so\.1 lacks/);
});

withCuda('the driver does not start, is too old, has no device', async (t) => {
  for (const [name, answers, reason] of [
    ['stuck', { init: 999 }, /does not start: CUDA_ERROR_MADE_UP: as the test wants it/],
    [
      'old',
      { version: 11040 },
      /too old: it knows CUDA up to 11\.4, .* built with CUDA 1[2-9]\.\d and needs 1[2-9]\.0/,
    ],
    ['empty', { devices: 0 }, /has no device/],
  ] as const) {
    const variables = { GROUPCONV_CUDA_LIBRARY: cudaLibrary, LD_LIBRARY_PATH: driver(name, answers) };
    const info = await isRefused(t, variables, reason);
    t.is(info.driver, name === 'old' ? '11.4' : '99.0');
  }
});

/** A cuDNN of this version that has these functions, besides the one that tells it. */
function cudnn(name: string, version: number, functions = cudnnFunctions): string {
  return compile(
    name,
    `unsigned long cudnnGetVersion(void) { return ${version}; }
     ${functions.map((each) => `int ${each}(void) { return 0; }`).join('\n')}`,
  );
}
const cudnnFunctions = [
  ...[
    'GetErrorString',
    'Create',
    'Destroy',
    'SetStream',
    'BackendCreateDescriptor',
    'BackendDestroyDescriptor',
  ],
  ...['BackendFinalize', 'BackendSetAttribute', 'BackendGetAttribute', 'BackendExecute'],
].map((each) => `cudnn${each}`);

withCuda('cuDNN is missing, too old, incomplete', async (t) => {
  const variables = { GROUPCONV_CUDA_LIBRARY: cudaLibrary, LD_LIBRARY_PATH: driver('idle', { devices: 0 }) };
  for (const [file, reason] of [
    [join(folder, 'nowhere.so.9'), /no device; no cuDNN 9: .*nowhere\.so\.9/],
    [cudnn('cudnn8.so', 8907), /no device; no cuDNN 9: .*cudnn8\.so: version 8\.9\.7, 9 is the oldest/],
    [
      cudnn('part.so', 92801, cudnnFunctions.slice(1)),
      /no device; no cuDNN 9: .*part\.so: lacks cudnnGetErrorString/,
    ],
  ] as const) {
    const info = await isRefused(t, { ...variables, GROUPCONV_CUDNN: file }, reason);
    t.is(info.cudnnPath, undefined);
  }
  const file = cudnn('cudnn9.so', 92801);
  const info = await isRefused(t, { ...variables, GROUPCONV_CUDNN: file }, /has no device$/);
  t.is(info.cudnn, '9.28.1');
  t.is(info.cudnnPath, file);
});

withCuda("cuDNN is looked for in the active environment, PATH's Pythons, conda", async (t) => {
  const alone = join(mkdtempSync(join(folder, 'alone-')), 'libgroupconv_cuda.so'); // with no .cuda-toolchain above it
  copyFileSync(cudaLibrary, alone);
  const wheelIn = (name: string, version: number) => {
    const prefix = mkdtempSync(join(folder, `${name}-`));
    const place = join(prefix, 'lib', 'python3.11', 'site-packages', 'nvidia', 'cudnn', 'lib');
    mkdirSync(place, { recursive: true });
    mkdirSync(join(prefix, 'bin'));
    writeFileSync(join(prefix, 'bin', 'python3'), '');
    copyFileSync(cudnn(`${name}.so`, version), join(place, 'libcudnn.so.9'));
    return prefix;
  };
  const [environment, onPath] = [wheelIn('environment', 90100), wheelIn('path', 90200)];
  const conda = mkdtempSync(join(folder, 'conda-'));
  mkdirSync(join(conda, 'lib'));
  copyFileSync(cudnn('conda.so', 90300), join(conda, 'lib', 'libcudnn.so.9'));

  const variables: NodeJS.ProcessEnv = { GROUPCONV_CUDA_LIBRARY: alone, GROUPCONV_CUDNN: undefined };
  const all = { VIRTUAL_ENV: environment, PATH: join(onPath, 'bin'), CONDA_PREFIX: conda };
  const isFound = async (version: string, places: NodeJS.ProcessEnv) => {
    const { devices } = await ask({ ...variables, ...places });
    t.is(devices[0]?.cudnn, version, devices[0]?.reason);
  };
  await isFound('9.1.0', all);
  await isFound('9.2.0', { ...all, VIRTUAL_ENV: undefined });
  await isFound('9.3.0', { ...all, VIRTUAL_ENV: undefined, PATH: folder });
});

withCuda('the library shows one symbol', (t) => {
  const { stdout } = spawnSync('nm', ['-D', '--defined-only', cudaLibrary], { encoding: 'utf8' });
  t.deepEqual(
    stdout
      .trim()
      .split('\n')
      .map((line) => line.split(' ').at(-1)),
    ['groupconv_cuda_backend'],
  );
});

withEmulator('devices by index; none; no memory', async (t) => {
  const variables = { GROUPCONV_CUDA_LIBRARY: emulatedLibrary, GROUPCONV_EMULATED_DEVICES: '2' };
  const two = await ask(variables, 'cuda:1');
  t.deepEqual(
    two.devices.map(({ device, available, kind }) => [device, available, kind]),
    [
      ['cuda:0', true, 'emulated'],
      ['cuda:1', true, 'emulated'],
    ],
  );
  t.is(two.auto, 'cuda:0');
  t.is(two.device, 'cuda:1');

  const third = await ask(variables, 'cuda:7');
  t.is(third.code, 'DEVICE_UNAVAILABLE');
  t.regex(third.message, /cuda:7: there are 2 devices/);

  await isRefused(t, { ...variables, GROUPCONV_EMULATED_DEVICES: '0' }, /no device/);
});

withEmulator('a device that is full, or that another process has for itself', async (t) => {
  for (const [variable, reason] of [
    ['GROUPCONV_EMULATED_FULL', /out of memory/],
    ['GROUPCONV_EMULATED_BUSY', /busy or unavailable/],
  ] as const) {
    const told = await ask({ GROUPCONV_CUDA_LIBRARY: emulatedLibrary, [variable]: '0' });
    t.is(told.code, 'DEVICE_UNAVAILABLE');
    t.regex(told.message, reason);
    t.regex(told.message, /^cuda:0: /);
    t.is(told.auto, 'cpu');
    t.is(told.devices[0]?.available, false);
    t.regex(told.devices[0]?.reason ?? '', reason);

    // Another one does instead, unless the program insists.
    const variables = {
      GROUPCONV_CUDA_LIBRARY: emulatedLibrary,
      GROUPCONV_EMULATED_DEVICES: '2',
      [variable]: '0',
    };
    const either = await ask(variables);
    t.deepEqual([either.auto, either.device], ['cuda:1', 'cuda:1']);
    t.deepEqual(
      either.devices.map(({ available }) => available),
      [false, true],
    );
    const first = await ask(variables, 'cuda:0');
    t.is(first.code, 'DEVICE_UNAVAILABLE');
    t.regex(first.message, reason);
  }
});

withEmulator('an old device beside one that does', async (t) => {
  const variables = {
    GROUPCONV_CUDA_LIBRARY: emulatedLibrary,
    GROUPCONV_EMULATED_DEVICES: '2',
    GROUPCONV_EMULATED_CAPABILITIES: '5.0,9.0',
  };
  const told = await ask(variables);
  t.deepEqual([told.auto, told.device], ['cuda:1', 'cuda:1']);
  t.deepEqual(
    told.devices.map(({ device, available }) => [device, available]),
    [
      ['cuda:0', false],
      ['cuda:1', true],
    ],
  );
  const reason =
    /emulated device has compute capability 5\.0, the kernels of this build are for sm_80 sm_86 /;
  t.regex(told.devices[0]?.reason ?? '', reason);
  t.is(told.devices[1]?.reason, undefined);

  const old = await ask(variables, 'cuda:0');
  t.is(old.code, 'DEVICE_UNAVAILABLE');
  t.regex(old.message, reason);
  await isRefused(t, { ...variables, GROUPCONV_EMULATED_CAPABILITIES: '5.0,6.1' }, reason);
});

withEmulator('a newer device, for which there is neither machine code nor PTX', async (t) => {
  const variables = { GROUPCONV_CUDA_LIBRARY: emulatedLibrary, GROUPCONV_EMULATED_CAPABILITIES: '11.0' };
  await isRefused(t, variables, /compute capability 11\.0, .* are for sm_80 .*compute_120/);
  for (const GROUPCONV_EMULATED_CAPABILITIES of ['8.9', '10.3', '12.1', '13.0'])
    t.is((await ask({ ...variables, GROUPCONV_EMULATED_CAPABILITIES })).device, 'cuda:0');
});

withEmulator('a device that fails while it is in use is left alone', async (t) => {
  const { before, failure, after, again } = await printed('failingDevice.ts', {
    GROUPCONV_CUDA_LIBRARY: emulatedLibrary,
    GROUPCONV_CUDNN: undefined,
    GROUPCONV_EMULATED_DEVICES: '1',
    GROUPCONV_EMULATED_LAUNCHES: '3',
  });
  t.deepEqual([before.auto, before.cuda, before.devices[0].available], ['cuda:0', 'cuda:0', true]);
  t.is(failure, 'DEVICE_FAILURE');
  for (const { auto, cuda, devices } of [after, again]) {
    const reason = /it has failed, and works again in a new process: a launch too many/;
    t.false(devices[0].available);
    t.regex(devices[0].reason, reason);
    t.is(auto, 'cpu');
    t.regex(cuda, /^DEVICE_UNAVAILABLE: cuda:0: it has failed/);
    t.regex(cuda, reason);
  }
});
