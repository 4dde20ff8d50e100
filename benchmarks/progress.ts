import cliProgress from 'cli-progress';

export interface Progress {
  /** Announces the next piece of work. */
  next(label: string): void;
  stop(): void;
}

/** A bar on the terminal's standard error; nothing where that isn't one. */
export function startProgress(total: number): Progress {
  const bar = new cliProgress.SingleBar(
    {
      format: '{bar} {value}/{total} {label}',
      clearOnComplete: true,
      noTTYOutput: false,
      stream: process.stderr,
    },
    cliProgress.Presets.shades_classic,
  );
  bar.start(total, 0, { label: '' });
  let started = 0;
  return {
    next: (label) => bar.update(started++, { label }),
    stop: () => bar.stop(),
  };
}
