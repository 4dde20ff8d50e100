import { type ChildProcessWithoutNullStreams, spawn, spawnSync } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

/** PyTorch on the same GPU, as a process that answers one JSON line with one JSON line. */
export interface TorchPeer {
  version: string;
  /** Seconds of one run, or why there is no such measurement. */
  measure(request: object): Promise<{ seconds: number } | { failure: string }>;
  close(): void;
}

const program = fileURLToPath(new URL('./torch_peer.py', import.meta.url));

/** Null where python3 has no PyTorch that sees a GPU. */
export function openTorch(): TorchPeer | null {
  const python = process.env.GROUPCONV_PYTHON ?? 'python3';
  const asked = spawnSync(
    python,
    [
      '-c',
      'import torch; assert torch.cuda.is_available(); print(torch.__version__, torch.backends.cudnn.version())',
    ],
    { encoding: 'utf8' },
  );
  if (asked.status !== 0) return null;
  const child: ChildProcessWithoutNullStreams = spawn(python, [program]);
  child.stderr.resume();
  const answers = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return {
    version: asked.stdout.trim(),
    async measure(request) {
      child.stdin.write(`${JSON.stringify(request)}\n`);
      const { value, done } = await answers.next();
      return done ? { failure: 'PyTorch ended' } : JSON.parse(value);
    },
    close: () => void child.kill(),
  };
}
