import { check, show } from './errors.js';
import { native, type RecordingHandle } from './native.js';
import { isCapturing, Recorder, recordWith } from './recording.js';
import { keep, scoped } from './scope.js';
import { Tensor } from './tensor.js';

/** A captured function: calling it repeats the work. */
export interface Captured<T> {
  /**
   * Repeats the work and returns what the function returned: the same tensors with new values, which belong to the
   * captured function. Returns at once, as every operator does.
   * @throws DISPOSED (this, one of its results, or a tensor that the work uses), INVALID_ARGUMENT (inside of a capture;
   *   a gradient that would be added to, but wasn't when captured, or the other way around)
   */
  (): T;
  /** What the function returned: the same tensors after every call. */
  readonly result: T;
  /** Memory held for the work, in bytes, beside that of parameters and inputs. */
  readonly bytes: number;
  readonly disposed: boolean;
  /** Frees the results and the memory of the work. */
  dispose(): void;
  [Symbol.dispose](): void;
}

function captured<T>(
  result: T,
  results: readonly Tensor[],
  recorder: Recorder,
  recording: RecordingHandle,
): Captured<T> {
  let disposed = false;
  const call = (): T => {
    check(!isCapturing(), 'INVALID_ARGUMENT', 'capture: a captured function is called inside of a capture');
    check(!disposed, 'DISPOSED', 'capture: the captured function has been disposed');
    for (const tensor of results)
      check(
        !tensor.disposed,
        'DISPOSED',
        () => `capture: a result [${tensor.shape}] has been disposed; it belongs to the captured function`,
      );
    native.checkRecording(recording);
    recorder.checkGradients();
    for (const action of recorder.actions) action();
    native.replay(recording);
    recorder.settle();
    return result;
  };
  const dispose = () => {
    if (disposed) return;
    disposed = true;
    for (const tensor of results) tensor.dispose();
    recorder.dispose();
    native.releaseRecording(recording);
  };
  return Object.defineProperties(call, {
    result: { value: result },
    bytes: { get: () => (disposed ? 0 : native.recordingBytes(recording)) },
    disposed: { get: () => disposed },
    dispose: { value: dispose },
    [Symbol.dispose]: { value: dispose },
  }) as Captured<T>;
}

/**
 * Runs `fn` once and records its work on the device, so that calling the result repeats all of it at once: without
 * JavaScript, checks or allocations for each operator, and on CUDA as one graph. The values are those of calling `fn`
 * again, bit for bit.
 *
 * ```ts
 * const images = zeros([32, 3, 224, 224]);
 * const labels = tensor(new Int32Array(32));
 * const step = capture(() => {
 *   optimizer.zeroGrad();
 *   const loss = crossEntropy(model.forward(images), labels);
 *   loss.backward();
 *   optimizer.step();
 *   scheduler.step();
 *   return loss;
 * });
 * for await (const batch of loader) {
 *   images.copyFrom(batch.images); // or images.set(values)
 *   labels.copyFrom(batch.labels);
 *   const loss = step();
 *   …
 * }
 * ```
 *
 * What `fn` does is fixed: its shapes, its branches, the numbers in it and the arrays that it uploads. What is meant to
 * change from call to call does: the tensors it reads, learning rates and counts of optimisers and schedulers, BatchNorm's
 * counter, and random numbers. What was changed before a call (weights, `optimizer.lr`, `manualSeed`) is respected. State
 * that `fn` makes at its first call and uses at later ones must be the library's own (as an optimiser's), or exist before.
 *
 * Results are outside of the graph: what needs `backward` belongs into `fn`.
 *
 * @throws INVALID_ARGUMENT when `fn` is asynchronous, reads values, uses two devices, or captures itself; what fn throws
 */
export function capture<T>(fn: () => T): Captured<T> {
  check(
    typeof fn === 'function',
    'INVALID_ARGUMENT',
    () => `capture: expected a function, found ${show(fn)}`,
  );
  const recorder = new Recorder();
  let results: Tensor[] = [];
  try {
    const [result, made] = recordWith(recorder, () => scoped('capture', fn));
    results = made.filter((item) => item instanceof Tensor);
    for (const tensor of results) keep(tensor);
    if (recorder.failure) throw recorder.failure;
    for (const tensor of results) {
      tensor.leaveGraph();
      recorder.written.add(tensor.storage);
    }
    recorder.noteGradients();
    return captured(result, results, recorder, native.endRecording());
  } catch (error) {
    native.cancelRecording();
    for (const tensor of results) tensor.dispose();
    recorder.dispose();
    throw error;
  }
}
