import { noGrad } from './autograd.js';
import type { DType } from './dtype.js';
import { check, GroupConvError, show } from './errors.js';
import { native } from './native.js';
import { checkOptions } from './options.js';
import { type Shape, Tensor } from './tensor.js';

type AnyTensor = Tensor<Shape, DType>;

/** Tensors by key: a Map, or a plain object. */
export type StateSource = ReadonlyMap<string, AnyTensor> | Readonly<Record<string, AnyTensor>>;

const dims = (shape: Shape) => `[${shape.join(', ')}]`;

/** Files from before PyTorch 0.4.1 and torchvision's first weights have no such counters. */
const isOptional = (key: string) => /(^|\.)num_batches_tracked$/.test(key);

/** Copies values without a word to autograd, converting the dtype, from whatever device. */
function copyInto(target: AnyTensor, source: AnyTensor): void {
  if (target === source) return;
  using there = noGrad(() => source.to(target.device));
  using same = noGrad(() => there.to(target.dtype));
  native.copy(target.handle, same.handle);
  target.storage.version++;
}

/**
 * Copies `source` into `own`, after every check has passed. `foreign` has other names of our keys, which are used
 * where the source has them.
 * @internal
 */
export function takeState(
  name: string,
  own: ReadonlyMap<string, AnyTensor>,
  foreign: ReadonlyMap<string, string>,
  source: StateSource,
  options: { strict?: boolean },
): { missing: string[]; unexpected: string[] } {
  checkOptions('loadStateDict', options, ['strict']);
  check(
    typeof source === 'object' && source !== null,
    'INVALID_ARGUMENT',
    () => `loadStateDict: expected a Map or an object of tensors, found ${show(source)}`,
  );
  const given = source instanceof Map ? source : new Map(Object.entries(source));
  const nameIn = (key: string) => {
    const other = foreign.get(key);
    return !given.has(key) && other !== undefined && given.has(other) ? other : key;
  };
  const used = new Set<string>();
  const missing: string[] = [];
  const misshapen: string[] = [];
  const pairs: [AnyTensor, AnyTensor][] = [];
  for (const [key, target] of own) {
    const found = nameIn(key);
    const values = given.get(found);
    used.add(found);
    if (values === undefined) {
      if (!isOptional(key)) missing.push(key);
      continue;
    }
    check(values instanceof Tensor, 'INVALID_ARGUMENT', () => `loadStateDict: ${found} is not a tensor`);
    check(!values.disposed, 'DISPOSED', () => `loadStateDict: ${found} has been disposed`);
    check(!target.disposed, 'DISPOSED', () => `loadStateDict: ${name} has been disposed`);
    if (String(values.shape) === String(target.shape)) pairs.push([target, values]);
    else misshapen.push(`${found} ${dims(values.shape)} for ${dims(target.shape)}`);
  }
  const unexpected = [...given.keys()].filter((key) => !used.has(key));
  const keysFit = options.strict === false || (missing.length === 0 && unexpected.length === 0);
  if (!keysFit || misshapen.length > 0) {
    const faults = [
      keysFit || missing.length === 0 ? '' : `missing ${missing.join(', ')}`,
      keysFit || unexpected.length === 0 ? '' : `unexpected ${unexpected.join(', ')}`,
      misshapen.length === 0 ? '' : `wrong shapes ${misshapen.join(', ')}`,
    ].filter(Boolean);
    throw new GroupConvError(
      keysFit ? 'INVALID_SHAPE' : 'INVALID_ARGUMENT',
      `loadStateDict: the state doesn't fit ${name}: ${faults.join('; ')}`,
    );
  }
  for (const [target, values] of pairs) copyInto(target, values);
  return { missing, unexpected };
}
