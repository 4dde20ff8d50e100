import { type ChildProcess, spawn } from 'node:child_process';
import { endGroup } from './group.js';
import type { Step } from './report.js';

let running: ChildProcess | null = null;

process.once('SIGINT', () => {
  endGroup(running);
  process.exit(130);
});

export interface StepOptions {
  /** Seconds that it may take, and that it may say nothing. */
  limit: number;
  silence?: number;
  cwd: string;
  env?: NodeJS.ProcessEnv;
}
export interface EndedStep extends Step {
  /** What the process answered; null where it was stopped, or died. */
  status: number | null;
}

/** Runs a command; the end of its output is shown at the end of the step. */
export async function runStep(
  name: string,
  [command, ...args]: readonly [string, ...string[]],
  { limit, silence = limit, cwd, env = {} }: StepOptions,
): Promise<EndedStep> {
  const start = Date.now();
  const passed = () => (Date.now() - start) / 1000;
  console.log(`=== ${name}`);
  const child = spawn(command, args, {
    cwd,
    env: { ...process.env, ...env },
    detached: true, // a process group of its own
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  running = child;
  let output = '';
  let stopped: string | null = null;
  const stop = (why: string) => {
    stopped ??= `stopped after ${passed().toFixed(0)} s${why}`;
    endGroup(child);
  };
  const timer = setTimeout(() => stop(''), limit * 1000);
  const quiet = setTimeout(() => stop(`, ${silence} s of them silent`), silence * 1000);
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => {
      output = (output + text).slice(-(1 << 16));
      quiet.refresh();
    });
  const [outcome, status] = await new Promise<[string, number | null]>((resolve) => {
    child.on('error', (error) => resolve([`failed (${error.message})`, null]));
    child.on('close', (code, signal) => {
      if (code === 0) resolve(['passed', 0]);
      else resolve([stopped ?? `failed (${signal ?? code})`, code]);
    });
  });
  clearTimeout(timer);
  clearTimeout(quiet);
  running = null;
  const tail = output.trimEnd().split('\n').slice(-60).join('\n');
  console.log(`${tail.split('\n').slice(-8).join('\n')}\n--- ${name}: ${outcome}`);
  return { name, outcome, status, seconds: passed(), tail };
}
