import { full } from '../create.js';
import type { Device } from '../device.js';
import { check, show } from '../errors.js';
import { linear } from '../ops/linear.js';
import { reshape } from '../ops/reshape.js';
import { checkOptions, count } from '../options.js';
import { aside } from '../recording.js';
import { keep, scope } from '../scope.js';
import type { Tensor0D, Tensor2D } from '../tensor.js';
import { scaleAndClip } from './clipGradNorm.js';
import { number, Optimizer } from './optimizer.js';

export interface GradScalerOptions {
  /** What losses are multiplied by at first; 65536 by default. */
  initialScale?: number;
  /** What the scale is multiplied by after `growthInterval` steps in a row without overflow; 2 by default. */
  growthFactor?: number;
  /** What the scale is multiplied by after an overflow; 0.5 by default. */
  backoffFactor?: number;
  /** 2000 by default. */
  growthInterval?: number;
}

/** Where a scaler stands. */
export interface GradScalerState {
  readonly scale: number;
  /** Steps in a row without overflow. */
  readonly growthTracker: number;
}

/**
 * Keeps float16 gradients within float16's range, as torch.amp.GradScaler (Micikevicius et al. 2018, "Mixed precision
 * training", section 3.2): the loss is scaled up before backward, gradients are scaled down before the step, a step
 * whose gradients overflowed is skipped, and the scale follows from how often that happens. bfloat16 needs none of it.
 *
 * ```ts
 * const scaler = new optim.GradScaler();
 * …
 * scope(() => {
 *   optimizer.zeroGrad();
 *   scaler.scale(crossEntropy(model.forward(images), labels)).backward();
 * });
 * await scaler.step(optimizer);
 * scaler.update();
 * ```
 */
export class GradScaler {
  readonly growthFactor: number;
  readonly backoffFactor: number;
  readonly growthInterval: number;
  #scale: number;
  #growthTracker = 0;
  readonly #weights = new Map<Device, Tensor2D>();
  /** The optimisers that stepped since the last update, each with whether its gradients were finite. */
  readonly #stepped = new Map<Optimizer, boolean | null>();

  /** @throws INVALID_ARGUMENT */
  constructor(options: GradScalerOptions = {}) {
    checkOptions('GradScaler', options, ['initialScale', 'growthFactor', 'backoffFactor', 'growthInterval']);
    const { initialScale = 2 ** 16, growthFactor = 2, backoffFactor = 0.5, growthInterval = 2000 } = options;
    this.#scale = Math.fround(positive('initialScale', initialScale));
    this.growthFactor = number('GradScaler', 'growthFactor', growthFactor, 1);
    this.backoffFactor = number(
      'GradScaler',
      'backoffFactor',
      positive('backoffFactor', backoffFactor),
      0,
      1,
    );
    this.growthInterval = count('GradScaler', 'growthInterval', growthInterval);
  }

  /** What losses are multiplied by now. */
  get currentScale(): number {
    return this.#scale;
  }

  /** The loss times the scale, for `backward()`. @throws UNSUPPORTED (dtype), INVALID_SHAPE (no scalar), DISPOSED */
  scale(loss: Tensor0D): Tensor0D {
    return scope(() => {
      const row = reshape(loss, [1, 1]);
      return reshape(linear(row, this.#weightOn(row.device)), []);
    });
  }
  /** The scale as a layer's only weight. On the device, so that a captured step follows it. */
  #weightOn(device: Device): Tensor2D {
    const known = this.#weights.get(device);
    if (known) return known;
    const weight = aside(() => keep(full([1, 1], this.#scale, { device })));
    this.#weights.set(device, weight);
    return weight;
  }
  #setScale(scale: number): void {
    this.#scale = Math.fround(scale);
    for (const weight of this.#weights.values()) weight.set(Float32Array.of(scale));
  }

  /**
   * Divides the optimiser's gradients by the scale, then steps if they are finite. Waits for them without blocking the
   * event loop, and so outside of `scope`.
   *
   * @param options clipGradNorm: the largest norm of the gradients, see {@link clipGradNorm}, which must not be called
   *   before
   * @returns whether the optimiser stepped
   * @throws INVALID_ARGUMENT when it has stepped since the last `update()`, and what `optimizer.step()` throws. After an
   *   error the step counts as not made.
   */
  async step(optimizer: Optimizer, options: { clipGradNorm?: number } = {}): Promise<boolean> {
    checkOptions('GradScaler.step', options, ['clipGradNorm']);
    check(optimizer instanceof Optimizer, 'INVALID_ARGUMENT', 'GradScaler: step: expected an optimiser');
    check(
      !this.#stepped.has(optimizer),
      'INVALID_ARGUMENT',
      'GradScaler: step: the optimiser has stepped since the last update()',
    );
    const { clipGradNorm = Number.POSITIVE_INFINITY } = options;
    using norm = scaleAndClip('GradScaler', optimizer.parameters, clipGradNorm, 1 / this.#scale);
    this.#stepped.set(optimizer, null);
    try {
      const [value] = await norm.data();
      const finite = Number.isFinite(value);
      if (finite) optimizer.step();
      this.#stepped.set(optimizer, finite);
      return finite;
    } catch (error) {
      this.#stepped.delete(optimizer);
      throw error;
    }
  }

  /** Sets the scale for the next loss. @throws INVALID_ARGUMENT without a `step()` since the last one, or inside of one */
  update(): void {
    const found = [...this.#stepped.values()];
    check(found.length > 0, 'INVALID_ARGUMENT', 'GradScaler: update: no step since the last update()');
    check(!found.includes(null), 'INVALID_ARGUMENT', 'GradScaler: update: await step() first');
    this.#stepped.clear();
    if (found.includes(false)) {
      const shrunk = this.#scale * this.backoffFactor;
      if (shrunk >= LEAST) this.#setScale(shrunk);
      this.#growthTracker = 0;
    } else if (++this.#growthTracker === this.growthInterval) {
      const grown = this.#scale * this.growthFactor;
      if (grown <= MOST) this.#setScale(grown);
      this.#growthTracker = 0;
    }
  }

  /** For a checkpoint. */
  state(): GradScalerState {
    return { scale: this.#scale, growthTracker: this.#growthTracker };
  }
  /** Goes on from a state. @throws INVALID_ARGUMENT */
  loadState({ scale, growthTracker }: GradScalerState): void {
    const tracker = count('GradScaler', 'growthTracker', growthTracker, 0);
    this.#setScale(positive('scale', scale));
    this.#growthTracker = tracker;
    this.#stepped.clear();
  }

  /** Frees the scale's few bytes on devices; the scaler can be used on. */
  dispose(): void {
    for (const weight of this.#weights.values()) weight.dispose();
    this.#weights.clear();
  }
  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** The smallest normal and the largest float32: the scale is one, and so is what gradients are multiplied by. */
const LEAST = 2 ** -126;
const MOST = 3.4028234663852886e38;

function positive(what: string, value: number): number {
  check(
    typeof value === 'number' && value >= LEAST && value <= MOST,
    'INVALID_ARGUMENT',
    () => `GradScaler: ${what} is a number above 0, within float32's range, found ${show(value)}`,
  );
  return value;
}
