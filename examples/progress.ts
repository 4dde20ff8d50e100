import cliProgress from 'cli-progress';
import type { EpochReport, StepReport } from '../lib/index.js';

const percent = (share: number | undefined) => `${(100 * (share ?? Number.NaN)).toFixed(2)} %`;

/** Seconds as 1:05. */
export function clock(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, '0')}`;
}

/** How a training goes on: a bar where somebody watches, else a line ten times an epoch. */
export class Progress {
  readonly #bar: cliProgress.SingleBar | null;
  #start = performance.now();
  #first = 0;

  /**
   * @param total steps of the whole training
   * @param batchSize images of a step
   */
  constructor(
    private readonly epochs: number,
    private readonly total: number,
    private readonly batchSize: number,
    private readonly print: (line: string) => void = console.log,
  ) {
    this.#bar = process.stdout.isTTY
      ? new cliProgress.SingleBar(
          {
            format: 'epoch {epoch} {bar} loss {loss}  accuracy {accuracy}  {rate} images/s  {left} left',
            clearOnComplete: true,
          },
          cliProgress.Presets.shades_classic,
        )
      : null;
  }

  readonly onStep = ({ epoch, step, steps, scores }: StepReport): void => {
    const done = (epoch - 1) * steps + step;
    if (this.#first === 0) {
      this.#first = done;
      this.#start = performance.now();
      this.#bar?.start(this.total, done, { epoch, loss: '', accuracy: '', rate: '', left: '' });
    }
    const seconds = (performance.now() - this.#start) / 1000;
    const stepsPerSecond = (done - this.#first) / seconds;
    const shown = {
      epoch: `${epoch}/${this.epochs}`,
      loss: scores.loss.toFixed(4),
      accuracy: percent(scores.accuracy),
      rate: (stepsPerSecond * this.batchSize).toFixed(0),
      left: clock((this.total - done) / stepsPerSecond),
    };
    if (this.#bar) this.#bar.update(done, shown);
    else if (step === steps || step % Math.ceil(steps / 10) === 0)
      this.print(
        `epoch ${shown.epoch} step ${step}/${steps}: loss ${shown.loss}, accuracy ${shown.accuracy}, ` +
          `${shown.rate} images/s, ${shown.left} left`,
      );
  };

  stop(): void {
    this.#bar?.stop();
  }
}

/** The epochs as a table, one line for each and two of headings. */
export function epochTable(epochs: readonly EpochReport[]): string[] {
  const heads = [
    'epoch',
    'lr',
    'loss',
    'accuracy',
    'test loss',
    'test accuracy',
    'images/s',
    'seconds',
    'in kernels',
  ];
  const rows = epochs.map(({ epoch, lr, train, validation, imagesPerSecond, seconds, busy }) => [
    `${epoch}`,
    lr.toFixed(4),
    train.loss.toFixed(4),
    percent(train.accuracy),
    validation?.loss.toFixed(4) ?? '',
    validation ? percent(validation.accuracy) : '',
    imagesPerSecond.toFixed(0),
    seconds.toFixed(1),
    percent(busy),
  ]);
  const widths = heads.map((head, i) =>
    Math.max(head.length, ...rows.map((row) => (row[i] as string).length)),
  );
  const line = (cells: readonly string[]) =>
    cells.map((cell, i) => cell.padStart(widths[i] as number)).join('  ');
  return [line(heads), widths.map((width) => '─'.repeat(width)).join('  '), ...rows.map(line)];
}
