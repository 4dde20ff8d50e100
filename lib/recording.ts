import { check, GroupConvError } from './errors.js';
import { native } from './native.js';
import type { Storage } from './storage.js';
import type { Tensor } from './tensor.js';

/** A gradient as the captured function met it, and as it left it. */
interface Gradient {
  /** Storage, or null for none; undefined where the function replaced it without looking. */
  readonly found: Storage | null | undefined;
  left: Storage | null;
}

/** What a capture knows beside the device's recording: all that happens in JavaScript. */
export class Recorder {
  /** Run anew before every replay, in this order. */
  readonly actions: (() => void)[] = [];
  /** Storages with a new value. */
  readonly written = new Set<Storage>();
  /** Kept until the capture is disposed of. */
  readonly held: Storage[] = [];
  readonly gradients = new Map<Tensor, Gradient>();
  paused = false;
  /** What `fn` should have thrown, if it hadn't kept it in a promise. */
  failure: GroupConvError | null = null;

  constructor() {
    native.beginRecording();
  }

  /** Takes what every gradient is now as what the function leaves. */
  noteGradients(): void {
    for (const [leaf, gradient] of this.gradients) {
      gradient.left = leaf.gradStorage()?.retain() ?? null;
      if (gradient.left) this.held.push(gradient.left);
    }
  }
  /** @throws INVALID_ARGUMENT where running the function again would meet another kind of gradient. */
  checkGradients(): void {
    for (const [leaf, { found }] of this.gradients)
      check(
        found === undefined || leaf.gradStorage() === found,
        'INVALID_ARGUMENT',
        () =>
          `capture: [${leaf.shape}] ${found ? 'had another' : 'had no'} gradient when it was captured, which is added to; let the captured function drop gradients (zeroGrad) or drop them before every call`,
      );
  }
  /** After a replay: the values are others, and the gradients those that the work has written. */
  settle(): void {
    for (const storage of this.written) storage.version++;
    for (const [leaf, { left }] of this.gradients) {
      if (leaf.disposed || leaf.gradStorage() === left) continue;
      if (left) leaf.setGrad(left.retain());
      else leaf.grad = null;
    }
  }
  dispose(): void {
    for (const storage of this.held.splice(0)) storage.release();
  }
}

let current: Recorder | null = null;

/** @internal Whether a function is being captured. */
export function isCapturing(): boolean {
  return current !== null;
}

/** @internal Runs `run` with everything it does recorded. */
export function recordWith<T>(recorder: Recorder, run: () => T): T {
  current = recorder;
  try {
    return run();
  } finally {
    current = null;
  }
}

/** Runs what a recording must not hold: making state that lives from step to step, for example. */
export function aside<T>(run: () => T): T {
  const recorder = current;
  if (!recorder || recorder.paused) return run();
  recorder.paused = true;
  native.pauseRecording(true);
  try {
    return run();
  } finally {
    native.pauseRecording(false);
    recorder.paused = false;
  }
}

/**
 * Does what a recording can't repeat: counting a step, or writing a number that is another one every time. Captured, it
 * is done now and again before every replay, and isn't recorded.
 */
export function eachRun(action: () => void): void {
  if (current && !current.paused) current.actions.push(action);
  aside(action);
}

/** @internal @throws INVALID_ARGUMENT in a captured function */
export function refuseReading(): void {
  if (!current) return;
  current.failure = new GroupConvError(
    'INVALID_ARGUMENT',
    'data: values can not be read inside of a captured function; return the tensor',
  );
  throw current.failure;
}
/** @internal Keeps storage as long as the capture, if there is one that records. */
export function holdForReplays(storage: Storage): void {
  if (current && !current.paused) current.held.push(storage.retain());
}
/** @internal */
export function noteWrite(storage: Storage): void {
  if (current && !current.paused) current.written.add(storage);
}
/** @internal The function is about to use a leaf's gradient, or (undefined) to replace it. */
export function noteGradient(leaf: Tensor, found: Storage | null | undefined): void {
  if (current && !current.gradients.has(leaf)) current.gradients.set(leaf, { found, left: null });
}
