/** What went wrong, for programs. Messages are for people and may change; codes don't. */
export type ErrorCode =
  | 'INVALID_ARGUMENT'
  | 'INVALID_SHAPE'
  | 'UNSUPPORTED'
  | 'OUT_OF_MEMORY'
  | 'DEVICE_UNAVAILABLE'
  | 'DEVICE_FAILURE'
  | 'DISPOSED'
  | 'INVALID_FILE';

/** Every error that groupconv throws or rejects with. */
export class GroupConvError extends Error {
  override readonly name = 'GroupConvError';
  constructor(
    readonly code: ErrorCode,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** Throws a GroupConvError unless the condition holds. */
export function check(
  condition: unknown,
  code: ErrorCode,
  message: string | (() => string),
): asserts condition {
  if (!condition) throw new GroupConvError(code, typeof message === 'string' ? message : message());
}

/** A value as messages show it. `JSON.stringify` would make null of NaN, and fails on bigints. */
export function show(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(show).join(',')}]`;
  if (typeof value === 'function') return `function ${value.name}`;
  if (typeof value !== 'object' || value === null) return String(value);
  const { name = 'object' } = value.constructor ?? {};
  return name === 'Object' ? `{ ${Object.keys(value).join(', ')} }` : `a ${name}`;
}
