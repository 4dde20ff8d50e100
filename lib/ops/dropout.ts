import type { FloatDType } from '../dtype.js';
import { check, show } from '../errors.js';
import { native } from '../native.js';
import { checkOptions } from '../options.js';
import { feedPosition } from '../random.js';
import { inputCheck, record } from '../record.js';
import { Storage } from '../storage.js';
import type { Shape, Tensor } from '../tensor.js';

const checkDropout = inputCheck('dropout', ['x']);

export interface DropoutOptions {
  /** The probability of a zero, from 0 to 1; 0.5 by default. */
  p?: number;
  /** Without training, x is returned as it is; true by default. */
  training?: boolean;
}

/**
 * Zeroes elements at random and scales the others by 1 / (1 - p). As torch.nn.functional.dropout. Which ones follows
 * from the seed (`manualSeed`), not from layouts or threads; the mask is never stored.
 *
 * @returns a tensor of x's shape; x itself when not training
 * @throws INVALID_ARGUMENT (an option), DISPOSED, UNSUPPORTED (dtype)
 */
export function dropout<S extends Shape, D extends FloatDType = 'float32'>(
  x: Tensor<S, D>,
  options: DropoutOptions = {},
): Tensor<S, D> {
  checkOptions('dropout', options, ['p', 'training']);
  const { p = 0.5, training = true } = options;
  check(
    p >= 0 && p <= 1,
    'INVALID_ARGUMENT',
    () => `dropout: p is a probability, from 0 to 1, found ${show(p)}`,
  );
  checkDropout(x);
  if (!training) return x;
  using position = feedPosition(x.deviceIndex, x.size);
  return record<S, D>('dropout', native.dropout(x.handle, p, position.handle), [x], (save) => {
    const saved = save(position);
    return (dy, [dx]) => {
      if (!dx) return;
      using masked = new Storage(native.dropout(dy.handle, p, saved.handle));
      dx.pass(masked);
    };
  });
}
