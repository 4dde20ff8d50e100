import { check, show } from './errors.js';

/** One number for both directions, or [height, width]. */
export type Pair = number | readonly [number, number];
/** One number for all sides, [height, width], or [top, right, bottom, left]. */
export type Padding = Pair | readonly [number, number, number, number];

/** Unknown options are errors, never ignored; so is what is no object. @throws INVALID_ARGUMENT */
export function checkOptions(name: string, options: object, known: readonly string[]): void {
  check(
    typeof options === 'object' && options !== null,
    'INVALID_ARGUMENT',
    () => `${name}: options are an object { ${known.join(', ')} }, found ${show(options)}`,
  );
  for (const key of Object.keys(options))
    check(
      known.includes(key),
      'INVALID_ARGUMENT',
      () => `${name}: unknown option ${key}; known are ${known.join(', ')}`,
    );
}

/** The options with defaults in the place of what is absent or undefined. @throws INVALID_ARGUMENT for unknown ones */
export function withDefaults<T extends object>(name: string, options: Partial<T>, defaults: T): T {
  checkOptions(name, options, Object.keys(defaults));
  const given = Object.entries(options).filter(([, value]) => value !== undefined);
  return { ...defaults, ...(Object.fromEntries(given) as Partial<T>) };
}

/** true or false. @throws INVALID_ARGUMENT */
export function flag(name: string, what: string, value: boolean): boolean {
  check(
    typeof value === 'boolean',
    'INVALID_ARGUMENT',
    () => `${name}: ${what} is a boolean, found ${show(value)}`,
  );
  return value;
}

/** Of extents and settings: the native side reads them as int32. */
const LIMIT = 2 ** 31;

function whole(name: string, what: string, value: unknown, least: number): number {
  check(
    Number.isInteger(value) && (value as number) >= least && (value as number) < LIMIT,
    'INVALID_ARGUMENT',
    () =>
      `${name}: ${what} is a whole number from ${least} on${(value as number) >= LIMIT ? ', below 2^31' : ''}, found ${show(value)}`,
  );
  return value as number;
}

/** [height, width] of an option, each at least `least`. @throws INVALID_ARGUMENT */
export function pair(
  name: string,
  what: string,
  value: Pair,
  least: number,
  forms = 'a number or [height, width]',
): [number, number] {
  if (typeof value === 'number') return [whole(name, what, value, least), value];
  check(
    Array.isArray(value) && value.length === 2,
    'INVALID_ARGUMENT',
    () => `${name}: ${what} is ${forms}, found ${show(value)}`,
  );
  return [whole(name, what, value[0], least), whole(name, what, value[1], least)];
}

/** [top, right, bottom, left] of a padding option. @throws INVALID_ARGUMENT */
export function sides(name: string, value: Padding): [number, number, number, number] {
  if (Array.isArray(value) && value.length === 4)
    return value.map((side) => whole(name, 'padding', side, 0)) as [number, number, number, number];
  const [vertical, horizontal] = pair(
    name,
    'padding',
    value as Pair,
    0,
    'a number, [height, width] or [top, right, bottom, left]',
  );
  return [vertical, horizontal, vertical, horizontal];
}

/** A whole number, at least `least`. @throws INVALID_ARGUMENT */
export function count(name: string, what: string, value: number, least = 1): number {
  return whole(name, what, value, least);
}
