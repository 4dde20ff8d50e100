import type { Backward } from '../autograd.js';
import type { FloatDType } from '../dtype.js';
import { check, show } from '../errors.js';
import { native } from '../native.js';
import { checkOptions } from '../options.js';
import { checkOneDevice, inputCheck, record } from '../record.js';
import type { Storage } from '../storage.js';
import { type Scalar, Tensor, type Tensor0D, type Tensor1D, type Tensor2D } from '../tensor.js';

const checkLogits = inputCheck('crossEntropy', ['logits']);

export interface CrossEntropyOptions {
  /** The part of the target that is spread evenly over all classes, from 0 to 1; 0 by default. */
  labelSmoothing?: number;
}

/**
 * The mean over samples of -log softmax(logits)[label], with label smoothing, in float32 whatever the logits are. As
 * torch.nn.functional.cross_entropy.
 *
 * A label outside of [0, C) is found while running: the next wait rejects with INVALID_ARGUMENT.
 *
 * @param logits [N, C]
 * @param labels [N], int32
 * @returns a scalar of float32, in nats
 * @throws INVALID_SHAPE, INVALID_ARGUMENT (an option), UNSUPPORTED (dtype), DISPOSED
 */
export function crossEntropy<D extends FloatDType = 'float32'>(
  logits: Tensor2D<D>,
  labels: Tensor1D<'int32'>,
  options: CrossEntropyOptions = {},
): Tensor0D {
  checkOptions('crossEntropy', options, ['labelSmoothing']);
  const { labelSmoothing = 0 } = options;
  check(
    labelSmoothing >= 0 && labelSmoothing <= 1,
    'INVALID_ARGUMENT',
    () => `crossEntropy: labelSmoothing is a number from 0 to 1, found ${show(labelSmoothing)}`,
  );
  checkLogits(logits);
  check(labels instanceof Tensor, 'INVALID_ARGUMENT', 'crossEntropy: labels is not a tensor');
  checkOneDevice('crossEntropy', ['logits', 'labels'], [logits, labels]);
  const loss = native.crossEntropy(logits.handle, labels.handle, labelSmoothing);
  const backward = (save: (value: Tensor2D<D> | Storage) => Storage): Backward => {
    const [savedLogits, savedLabels] = [save(logits), save(labels.storage)];
    return (dloss, [dlogits]) => {
      if (dlogits)
        native.crossEntropyGrad(
          dloss.handle,
          savedLogits.handle,
          savedLabels.handle,
          labelSmoothing,
          ...dlogits.target(),
        );
    };
  };
  return record<Scalar>('crossEntropy', loss, [logits], backward, 'float32');
}
