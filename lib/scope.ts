import { check, show } from './errors.js';

interface Disposable {
  readonly disposed: boolean;
  dispose(): void;
}

/** The tensors made in one scope, in order. Those that are disposed of stay until it has doubled: nobody searches. */
class Scope {
  #items: Disposable[] = [];
  #most = 1024;

  add(item: Disposable): void {
    if (this.#items.length === this.#most) {
      this.#items = this.#items.filter(({ disposed }) => !disposed);
      this.#most = Math.max(this.#most, 2 * this.#items.length);
    }
    this.#items.push(item);
  }
  /** Whether it was here. From the end: what is taken out was mostly just made. */
  delete(item: Disposable): boolean {
    const at = this.#items.lastIndexOf(item);
    if (at < 0) return false;
    if (at === this.#items.length - 1) this.#items.pop();
    else this.#items.splice(at, 1);
    return true;
  }
  dispose(): void {
    for (const item of this.#items) item.dispose();
  }
}

/** Innermost last. */
const open: Scope[] = [];

/** @internal Called by every new tensor. */
export function track(item: Disposable): void {
  open.at(-1)?.add(item);
}

/**
 * Takes a tensor out of every open scope: it lives until it is disposed of. Parameters, their gradients and
 * optimiser state are kept like this.
 */
export function keep<T extends Disposable>(item: T): T {
  for (let at = open.length; at-- > 0 && !open[at]?.delete(item); );
  return item;
}

/** Calls visit for every disposable in a result: itself, or in arrays, maps and plain objects. */
function eachIn(value: unknown, visit: (item: Disposable) => void, seen?: Set<unknown>): void {
  if (value === null || typeof value !== 'object') return;
  if (typeof (value as Disposable).dispose === 'function') visit(value as Disposable);
  else if (!ArrayBuffer.isView(value) && !seen?.has(value)) eachInside(value, visit, seen ?? new Set());
}
function eachInside(value: object, visit: (item: Disposable) => void, seen: Set<unknown>): void {
  seen.add(value);
  const items =
    value instanceof Map ? value.values() : Symbol.iterator in value ? value : Object.values(value);
  for (const item of items as Iterable<unknown>) eachIn(item, visit, seen);
}

/**
 * Runs `fn` and disposes of every tensor made inside that it doesn't return. Memory that autograd still needs stays
 * with the graph. What is returned (a tensor, or tensors in arrays, maps and plain objects) belongs to the scope
 * around, if there is one.
 *
 * @throws INVALID_ARGUMENT when `fn` is asynchronous: its tensors would outlive the scope.
 */
export function scope<T>(fn: () => T): T {
  const [result, returned] = scoped('scope', fn);
  for (const item of returned) open.at(-1)?.add(item);
  return result;
}

/** @internal `scope`, which also tells what was made inside and returned; nobody has it yet. */
export function scoped<T>(name: string, fn: () => T): [result: T, returned: Disposable[]] {
  check(
    typeof fn === 'function',
    'INVALID_ARGUMENT',
    () => `${name}: expected a function, found ${show(fn)}`,
  );
  const made = new Scope();
  open.push(made);
  const returned: Disposable[] = [];
  let result: T;
  try {
    result = fn();
    // It goes on without its tensors; that it fails is told here already.
    if (result instanceof Promise) result.catch(() => {});
    check(
      !(result instanceof Promise),
      'INVALID_ARGUMENT',
      `${name}: the function must be synchronous; read values with \`await\` outside of it`,
    );
    eachIn(result, (item) => {
      if (!item.disposed && made.delete(item)) returned.push(item);
    });
  } finally {
    open.pop();
    made.dispose();
  }
  return [result, returned];
}
