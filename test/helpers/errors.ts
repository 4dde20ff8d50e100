import type { ExecutionContext } from 'ava';
import { type ErrorCode, GroupConvError } from '../../lib/index.js';

/** The call throws a GroupConvError with this code and a message that matches. */
export function throwsCode(t: ExecutionContext, code: ErrorCode, fn: () => unknown, message?: RegExp): void {
  const error = t.throws(fn, { instanceOf: GroupConvError });
  t.is(error?.code, code, error?.message);
  if (message) t.regex(error?.message ?? '', message);
}

/** The promise rejects with a GroupConvError with this code and a message that matches. */
export async function rejectsCode(
  t: ExecutionContext,
  code: ErrorCode,
  promise: Promise<unknown>,
  message?: RegExp,
): Promise<void> {
  const error = await t.throwsAsync(promise, { instanceOf: GroupConvError });
  t.is(error?.code, code, error?.message);
  if (message) t.regex(error?.message ?? '', message);
}
