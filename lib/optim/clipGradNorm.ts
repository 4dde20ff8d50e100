import { check, show } from '../errors.js';
import { native } from '../native.js';
import { checkOneDevice } from '../record.js';
import { Storage } from '../storage.js';
import { Tensor, type Tensor0D } from '../tensor.js';
import { gradients } from './optimizer.js';

/**
 * Scales the gradients of all parameters, seen as one vector, down to a Euclidean norm of at most `maxNorm`; as
 * torch.nn.utils.clip_grad_norm_. Returns at once: between `backward()` and the optimiser's `step()`. A norm that is
 * not finite makes the gradients NaN.
 *
 * @param maxNorm above 0; Infinity measures only
 * @returns the norm before, a scalar; the caller's
 * @throws INVALID_ARGUMENT (maxNorm, no parameter has a gradient, parameters on several devices), DISPOSED
 */
export function clipGradNorm(parameters: Iterable<Tensor>, maxNorm: number): Tensor0D {
  return scaleAndClip('clipGradNorm', parameters, maxNorm, 1);
}

/** Multiplies gradients by a factor, then clips their norm, which is returned as it was in between. @internal */
export function scaleAndClip(
  name: string,
  parameters: Iterable<Tensor>,
  maxNorm: number,
  factor: number,
): Tensor0D {
  check(
    typeof maxNorm === 'number' && maxNorm > 0,
    'INVALID_ARGUMENT',
    () =>
      `${name}: ${name === 'clipGradNorm' ? 'maxNorm' : 'clipGradNorm'} is a number above 0, found ${show(maxNorm)}`,
  );
  const ready = [...parameters].filter((tensor) => {
    check(tensor instanceof Tensor, 'INVALID_ARGUMENT', () => `${name}: a parameter is not a tensor`);
    check(!tensor.disposed, 'DISPOSED', () => `${name}: a parameter has been disposed`);
    return tensor.grad !== null;
  });
  const [first] = ready;
  check(first, 'INVALID_ARGUMENT', () => `${name}: no parameter has a gradient`);
  checkOneDevice(
    name,
    ready.map((_, i) => `parameter ${i}`),
    ready,
  );
  const storage = new Storage(native.clipGradNorm(gradients(ready), maxNorm, factor));
  for (const { grad } of ready) (grad as Tensor).storage.version++;
  return new Tensor({ storage, dtype: 'float32', device: first.device, shape: [] });
}
