import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { Worker } from 'node:worker_threads';
import test from 'ava';
import { skipsEmulated } from './helpers/devices.js';

function start(steps: number, seed = 1, program = './helpers/worker.ts'): Worker {
  // A worker needs tsx of its own to read TypeScript.
  const source = `import('tsx/esm/api').then(({ register }) => { register(); return import(${JSON.stringify(
    new URL(program, import.meta.url).href,
  )}); })`;
  return new Worker(source, { eval: true, workerData: { steps, seed } });
}

async function messages(worker: Worker): Promise<unknown[]> {
  const received: unknown[] = [];
  worker.on('message', (message) => received.push(message));
  const [code] = await once(worker, 'exit');
  return [...received, code];
}

const lib = JSON.stringify(new URL('../lib/index.ts', import.meta.url).href);

/** What a process of its own prints. */
async function printed(
  script: string,
  env: Record<string, string> = {},
  launcher: string[] = [],
): Promise<string> {
  const node = [process.execPath, '--import=tsx', '--input-type=module', '-e', script];
  const [command = '', ...args] = [...launcher, ...node];
  const { stdout } = await promisify(execFile)(command, args, {
    env: { ...process.env, ...env },
    timeout: 60000,
  });
  return stdout.trim();
}

test.serial('three workers train side by side and exit cleanly', async (t) => {
  const results = await Promise.all([start(20), start(20), start(20, 2)].map(messages));
  for (const [started, loss, code] of results) {
    t.is(started, 'started');
    t.true(Number.isFinite(loss));
    t.is(code, 0);
  }
  t.is(results[0]?.[1], results[1]?.[1], 'the same seed gives the same loss');
  t.not(results[0]?.[1], results[2]?.[1]);
});

test.serial('workers that are terminated in the middle leave the process alive', async (t) => {
  for (let round = 0; round < 3; round++) {
    const workers = [start(1e6), start(1e6), start(1e6)];
    await Promise.all(workers.map((worker) => once(worker, 'message')));
    await new Promise((resolve) => setTimeout(resolve, 20 * round));
    await Promise.all(workers.map((worker) => worker.terminate()));
  }
  const [, loss, code] = await messages(start(2));
  t.true(Number.isFinite(loss));
  t.is(code, 0);
});

test.serial('a worker terminated in a native call that fails then leaves the process alive', async (t) => {
  if (skipsEmulated(t, 'convolutions that take a second on the CPU')) return;
  const worker = start(0, 1, './helpers/failingWorker.ts');
  await once(worker, 'message');
  await new Promise((resolve) => setTimeout(resolve, 50)); // it waits inside of item() by now
  t.is(await worker.terminate(), 1);
});

test.serial('a process with queued work exits by itself', async (t) => {
  const script = `import { randn, relu } from ${lib};
    let x = randn([64, 1024]); for (let i = 0; i < 100; i++) x = relu(x); x.data().then(() => console.log('read'));`;
  t.is(await printed(script), 'read');
});

test.serial('environment variables that make no sense are errors with a code', async (t) => {
  const script = `import { ones } from ${lib};
    try { const x = ones([1], { device: 'cpu' }); await x.data(); console.log('fine'); } catch (error) { console.log(error.code, error.message); }`;
  for (const [name, value, expected] of [
    ['GROUPCONV_ISA', 'mmx', /^INVALID_ARGUMENT GROUPCONV_ISA=mmx: this build and processor have /],
    ['GROUPCONV_NUM_THREADS', '0', /^INVALID_ARGUMENT GROUPCONV_NUM_THREADS=0: expected a whole number/],
    ['GROUPCONV_NUM_THREADS', '1', /^fine/],
  ] as const)
    t.regex(await printed(script, { [name]: value }), expected);
});

test.serial('threads: as many as asked for, else as the process may use', async (t) => {
  const script = `import { numThreads } from ${lib}; console.log(numThreads());`;
  t.is(await printed(script, { GROUPCONV_NUM_THREADS: '3' }), '3');
  if (process.platform !== 'linux') return;
  const [, one = '0'] = readFileSync('/proc/self/status', 'utf8').match(/Cpus_allowed_list:\s*(\d+)/) ?? [];
  t.is(await printed(script, { GROUPCONV_NUM_THREADS: '' }, ['taskset', '-c', one]), '1');
});
