import { check, show } from '../errors.js';
import { checkOptions, count } from '../options.js';
import { eachRun } from '../recording.js';
import { number, Optimizer } from './optimizer.js';

/** The factor of the learning rate at a time, counted from 0 in epochs or steps. */
export type Schedule = (time: number) => number;

function aSchedule(name: string, value: Schedule): Schedule {
  check(
    typeof value === 'function',
    'INVALID_ARGUMENT',
    () => `${name}: a schedule is a function of the time, found ${show(value)}`,
  );
  return value;
}

/** gamma ^ floor(time / stepSize): constant, then a fall every `stepSize`. As torch.optim.lr_scheduler.StepLR. */
export function stepLR(options: { stepSize: number; gamma?: number }): Schedule {
  checkOptions('stepLR', options, ['stepSize', 'gamma']);
  const stepSize = count('stepLR', 'stepSize', options.stepSize);
  const gamma = number('stepLR', 'gamma', options.gamma ?? 0.1);
  return (time) => gamma ** Math.floor(time / stepSize);
}

/**
 * From 1 at time 0 along half a cosine to `end` at time `total`, and `end` afterwards (Loshchilov and Hutter 2017). As
 * torch.optim.lr_scheduler.CosineAnnealingLR with eta_min = end * lr.
 */
export function cosine(options: { total: number; end?: number }): Schedule {
  checkOptions('cosine', options, ['total', 'end']);
  const total = count('cosine', 'total', options.total);
  const end = number('cosine', 'end', options.end ?? 0);
  return (time) => end + ((1 - end) * (1 + Math.cos(Math.PI * Math.min(1, time / total)))) / 2;
}

/**
 * Rises linearly from 1 / `steps` at time 0 to 1 at time `steps` - 1, then follows `after`, whose time starts anew.
 * @param after 1 by default
 */
export function warmup(options: { steps: number; after?: Schedule }): Schedule {
  checkOptions('warmup', options, ['steps', 'after']);
  const steps = count('warmup', 'steps', options.steps);
  const after = aSchedule('warmup', options.after ?? (() => 1));
  return (time) => (time < steps ? (time + 1) / steps : after(time - steps));
}

/**
 * Sets an optimiser's learning rate to its first one times the schedule's factor: at once for time 0, then with every
 * `step()`.
 */
export class Scheduler {
  readonly #baseLr: number;
  #time = 0;

  /** @throws INVALID_ARGUMENT */
  constructor(
    readonly optimizer: Optimizer,
    readonly schedule: Schedule,
  ) {
    check(optimizer instanceof Optimizer, 'INVALID_ARGUMENT', 'Scheduler: expected an optimiser first');
    aSchedule('Scheduler', schedule);
    this.#baseLr = optimizer.lr;
    this.time = 0;
  }

  /** Epochs or steps so far. Settable, to go on from a checkpoint. @throws INVALID_ARGUMENT below 0 */
  get time(): number {
    return this.#time;
  }
  set time(value: number) {
    check(
      Number.isInteger(value) && value >= 0,
      'INVALID_ARGUMENT',
      () => `Scheduler: time is a whole number from 0 on, found ${show(value)}`,
    );
    eachRun(() => {
      this.optimizer.lr = this.#baseLr * this.schedule(value);
      this.#time = value;
    });
  }

  /** Call it after every epoch (or every step of the optimiser, for a schedule in steps). */
  step(): void {
    eachRun(() => {
      this.time++;
    });
  }
}
