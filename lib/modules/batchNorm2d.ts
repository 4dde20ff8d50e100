import type { ActivationName } from '../activation.js';
import { ones, tensor, zeros } from '../create.js';
import { check, show } from '../errors.js';
import { Module, parameter } from '../module.js';
import { batchNormActivated } from '../ops/batchNorm.js';
import type { NormToFold } from '../ops/conv2d.js';
import { checkOptions, count } from '../options.js';
import { eachRun } from '../recording.js';
import { keep } from '../scope.js';
import type { Storage } from '../storage.js';
import type { Tensor0D, Tensor1D, Tensor4D } from '../tensor.js';

export interface BatchNorm2dOptions {
  /** Added to the variance; 1e-5 by default. */
  eps?: number;
  /** Weight of the new batch in the running statistics; 0.1 by default. */
  momentum?: number;
  /** Whether there are a weight and a bias; true by default. */
  affine?: boolean;
  /** Whether evaluation uses statistics gathered in training; true by default, else always the batch's own. */
  trackRunningStats?: boolean;
}

/**
 * Batch normalisation per channel (Ioffe and Szegedy 2015), as torch.nn.BatchNorm2d. The weight starts at 1, the bias
 * at 0, the running mean at 0 and the running variance at 1.
 */
export class BatchNorm2d extends Module {
  readonly weight: Tensor1D | null;
  readonly bias: Tensor1D | null;
  readonly running_mean: Tensor1D | null;
  readonly running_var: Tensor1D | null;
  readonly num_batches_tracked: Tensor0D<'int32'> | null;
  readonly eps: number;
  readonly momentum: number;
  readonly #counter: { batches: number; storage: Storage | null; version: number };

  /** @throws INVALID_ARGUMENT */
  constructor(
    readonly numFeatures: number,
    options: BatchNorm2dOptions = {},
  ) {
    super();
    checkOptions('BatchNorm2d', options, ['eps', 'momentum', 'affine', 'trackRunningStats']);
    const { eps = 1e-5, momentum = 0.1, affine = true, trackRunningStats = true } = options;
    count('BatchNorm2d', 'numFeatures', numFeatures);
    check(eps >= 0, 'INVALID_ARGUMENT', () => `BatchNorm2d: eps is at least 0, found ${show(eps)}`);
    check(
      typeof momentum === 'number' && momentum >= 0 && momentum <= 1,
      'INVALID_ARGUMENT',
      () => `BatchNorm2d: momentum is from 0 to 1, found ${show(momentum)}`,
    );
    this.eps = eps;
    this.momentum = momentum;
    this.weight = affine ? parameter(ones([numFeatures])) : null;
    this.bias = affine ? parameter(zeros([numFeatures])) : null;
    this.running_mean = trackRunningStats ? keep(zeros([numFeatures])) : null;
    this.running_var = trackRunningStats ? keep(ones([numFeatures])) : null;
    this.num_batches_tracked = trackRunningStats ? keep(tensor(Int32Array.of(0), [])) : null;
    this.#counter = { batches: 0, storage: this.num_batches_tracked?.storage ?? null, version: 0 };
  }

  /** [N, C, H, W], same shape out. @throws INVALID_SHAPE, DISPOSED, UNSUPPORTED */
  override forward(x: Tensor4D): Tensor4D {
    return this.normalise(x, null, 'none');
  }

  /** @internal activation(norm(x) + residual) in one pass. */
  normalise(x: Tensor4D, residual: Tensor4D | null, activation: ActivationName): Tensor4D {
    const { weight, bias, eps, momentum } = this;
    const statistics = { runningMean: this.running_mean, runningVar: this.running_var };
    const training = !this.usesRunningStatistics;
    const y = batchNormActivated(
      x,
      { weight, bias, ...statistics, training, momentum, eps },
      residual,
      activation,
    );
    if (training) eachRun(() => this.#countBatch());
    return y;
  }

  /** @internal Whether forward is a fixed scale and shift per channel now. */
  get usesRunningStatistics(): boolean {
    return !this.training && this.running_mean !== null;
  }
  /** @internal What a convolution before this folds into its weight. */
  statistics(): NormToFold {
    const { weight, bias, eps } = this;
    return {
      weight,
      bias,
      eps,
      runningMean: this.running_mean as Tensor1D,
      runningVar: this.running_var as Tensor1D,
    };
  }

  #countBatch(): void {
    const tracked = this.num_batches_tracked;
    if (!tracked) return;
    const { storage } = tracked;
    const counter = this.#counter;
    // The value is known without waiting for the device, unless somebody else wrote it, or `to` replaced the tensor.
    if (storage !== counter.storage || storage.version !== counter.version) counter.batches = tracked.item();
    tracked.set(Int32Array.of(++counter.batches));
    Object.assign(counter, { storage, version: storage.version });
  }
}
