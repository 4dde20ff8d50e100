/** The harness's end of a contender: a child process that speaks the lines of peers/protocol.ts. */
import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import type { Answer, Request } from './peers/protocol.js';

export interface Program {
  command: string;
  args: string[];
  env?: Record<string, string>;
}

/**
 * One contender's process. Between requests it is stopped (SIGSTOP), so that threads which spin for more work, as
 * OpenMP's and onnxruntime's do, take nothing from the others.
 */
export class Peer {
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;
  readonly #ended: Promise<never>;
  #complaints = '';

  constructor({ command, args, env }: Program) {
    const child = spawn(command, args, { env: { ...process.env, ...env }, stdio: ['pipe', 'pipe', 'pipe'] });
    this.#child = child;
    this.#lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    child.stderr.on('data', (text) => {
      this.#complaints = (this.#complaints + text).slice(-2000);
    });
    child.stdin.on('error', () => {}); // told by `exit`
    this.#ended = new Promise((_, reject) => {
      child.on('error', reject);
      child.on('exit', (code, signal) =>
        reject(new Error(`${command} ended (${signal ?? code}): ${this.#complaints.trim()}`)),
      );
    });
    this.#ended.catch(() => {});
  }

  /** @throws Error with the contender's reason for refusing, or with what its process said when it ended */
  async ask(request: Request): Promise<Answer> {
    this.#child.kill('SIGCONT');
    this.#child.stdin!.write(`${JSON.stringify(request)}\n`);
    const { value, done } = await Promise.race([this.#lines.next(), this.#ended]);
    if (done) await this.#ended;
    this.#child.kill('SIGSTOP');
    const answer = JSON.parse(value) as Answer;
    if (answer.error !== undefined) throw new Error(answer.error);
    return answer;
  }

  /** From here on, {@link peakResidentBytes} forgets what was before; on Linux. */
  resetPeak(): void {
    try {
      writeFileSync(`/proc/${this.#child.pid}/clear_refs`, '5');
    } catch {} // it stays what it was
  }

  /** The most memory that its process had resident, in bytes; null where the system doesn't tell. */
  peakResidentBytes(): number | null {
    try {
      const status = readFileSync(`/proc/${this.#child.pid}/status`, 'utf8');
      return Number(/VmHWM:\s+(\d+) kB/.exec(status)![1]) * 1024;
    } catch {
      return null;
    }
  }

  close(): void {
    this.#child.kill('SIGKILL');
  }
}
