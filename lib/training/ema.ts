import type { DType } from '../dtype.js';
import { check, show } from '../errors.js';
import type { Module } from '../module.js';
import { native } from '../native.js';
import { handles } from '../optim/optimizer.js';
import { checkOptions } from '../options.js';
import { keep } from '../scope.js';
import { type StateSource, takeState } from '../state.js';
import type { Shape, Tensor } from '../tensor.js';

export interface EMAOptions {
  /** How much of the average every update keeps; 0.999 by default. */
  decay?: number;
  /** Whether running statistics are averaged (default), too, or are the model's own. */
  buffers?: boolean;
}

/**
 * An exponential moving average of a model's weights, as torch.optim.swa_utils.AveragedModel with get_ema_multi_avg_fn:
 * average += (1 - decay) (weights - average) with every `update()`, starting from the weights at the construction.
 *
 * ```ts
 * const ema = new EMA(model, { decay: 0.998 });
 * … optimizer.step(); ema.update();
 * await ema.use(() => evaluate(model, validation)); // the model has the averaged weights meanwhile
 * ```
 */
export class EMA {
  readonly decay: number;
  readonly #pairs: readonly { key: string; average: Tensor; live: Tensor }[];
  /** Entries that are no average: whole numbers, and statistics that are the model's own. */
  readonly #shared: ReadonlyMap<string, Tensor<Shape, DType>>;
  #using = false;

  /** @throws INVALID_ARGUMENT, DISPOSED */
  constructor(model: Module, options: EMAOptions = {}) {
    checkOptions('EMA', options, ['decay', 'buffers']);
    const { decay = 0.999, buffers = true } = options;
    check(
      typeof decay === 'number' && decay >= 0 && decay < 1,
      'INVALID_ARGUMENT',
      () => `EMA: decay is a number from 0 on, below 1, found ${show(decay)}`,
    );
    this.decay = decay;
    const own = new Set(buffers ? [] : model.namedBuffers().map(([key]) => key));
    const state = [...model.stateDict()];
    const averaged = state.filter(([key, { dtype }]) => dtype === 'float32' && !own.has(key));
    this.#pairs = averaged.map(([key, live]) => ({
      key,
      live: live as Tensor,
      average: keep((live as Tensor).clone()),
    }));
    const keys = new Set(averaged.map(([key]) => key));
    this.#shared = new Map(state.filter(([key]) => !keys.has(key)));
  }

  /** Takes the model's present weights into the average. Returns at once; call it after the optimiser's step. */
  update(): void {
    check(!this.#using, 'INVALID_ARGUMENT', 'EMA: update inside of use: the model has the averaged weights');
    const averages = this.#pairs.map(({ average }) => average);
    const lives = this.#pairs.map(({ live }) => live);
    native.lerp(handles(averages), handles(lives), 1 - this.decay);
    for (const { storage } of averages) storage.version++;
  }

  /** Runs `fn` while the model has the averaged weights, which it gives back afterwards, bit for bit. */
  async use<T>(fn: () => T | Promise<T>): Promise<T> {
    check(!this.#using, 'INVALID_ARGUMENT', 'EMA: use inside of use');
    this.#swap();
    this.#using = true;
    try {
      return await fn();
    } finally {
      this.#using = false;
      this.#swap();
    }
  }

  #swap(): void {
    for (const { average, live } of this.#pairs) {
      using before = live.clone();
      for (const [target, source] of [
        [live, average],
        [average, before],
      ] as const) {
        native.copy(target.handle, source.handle);
        target.storage.version++;
      }
    }
  }

  /** The averaged model's state under the model's keys. The tensors are the average's own; `clone()` for a snapshot. */
  stateDict(): Map<string, Tensor<Shape, DType>> {
    return new Map([
      ...this.#pairs.map(({ key, average }) => [key, average] as [string, Tensor<Shape, DType>]),
      ...this.#shared,
    ]);
  }
  /** Goes on from an average. As a module's: nothing changes when anything is wrong. */
  loadStateDict(source: StateSource): void {
    const given = new Map(source instanceof Map ? source : Object.entries(source));
    for (const key of this.#shared.keys()) given.delete(key);
    takeState('EMA', new Map(this.#pairs.map(({ key, average }) => [key, average])), new Map(), given, {});
  }

  /** Frees the average; the model stays. */
  dispose(): void {
    for (const { average } of this.#pairs) average.dispose();
  }
  [Symbol.dispose](): void {
    this.dispose();
  }
}
