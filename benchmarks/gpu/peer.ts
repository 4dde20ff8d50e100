import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const program = fileURLToPath(new URL('./torch_peer.py', import.meta.url));
const helloSeconds = 60; // PyTorch's import, from a cold disk

export type Answer = { seconds: number } | { failure: string };

/** The process; its version is null where it can't be used. */
interface Running {
  child: ChildProcess;
  lines: AsyncIterator<string>;
  version: string | null;
}

/**
 * PyTorch on the same GPU: a process that is started when it is first asked, and anew after it has been ended because an
 * answer took too long, or has died.
 */
export class TorchPeer {
  #running: Promise<Running> | null = null;
  readonly #command: readonly string[];

  constructor(command: readonly string[] = [process.env.GROUPCONV_PYTHON ?? 'python3', program]) {
    this.#command = command;
  }

  /** Versions of PyTorch and its cuDNN; null where there is no PyTorch that sees a GPU. */
  async version(): Promise<string | null> {
    this.#running ??= this.#start();
    return (await this.#running).version;
  }

  async measure(request: object, limitSeconds: number): Promise<Answer> {
    if ((await this.version()) === null) return { failure: 'no PyTorch' };
    const running = await (this.#running as Promise<Running>);
    running.child.stdin?.write(`${JSON.stringify(request)}\n`);
    const line = await this.#line(running, limitSeconds);
    if (line) return JSON.parse(line) as Answer;
    this.close();
    return {
      failure: line === undefined ? 'PyTorch ended' : `no answer within ${limitSeconds.toFixed(0)} s`,
    };
  }

  close(): void {
    void this.#running?.then(({ child }) => child.kill('SIGKILL'));
    this.#running = null;
  }

  async #start(): Promise<Running> {
    const [command, ...args] = this.#command as [string, ...string[]];
    const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'ignore'] });
    child.on('error', () => {}); // no such program: there is no line either
    child.stdin.on('error', () => {});
    const running = {
      child,
      lines: createInterface({ input: child.stdout })[Symbol.asyncIterator](),
      version: null as string | null,
    };
    const hello = await this.#line(running, helloSeconds);
    if (!hello) child.kill('SIGKILL');
    else running.version = (JSON.parse(hello) as { version: string }).version;
    return running;
  }

  /** The next line; null where it is late, undefined where there will be none. */
  async #line({ lines }: Running, seconds: number): Promise<string | null | undefined> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<null>((resolve) => {
      timer = setTimeout(() => resolve(null), seconds * 1000);
    });
    try {
      return await Promise.race([late, lines.next().then(({ value, done }) => (done ? undefined : value))]);
    } finally {
      clearTimeout(timer);
    }
  }
}
