// Other programs are checked against where they are; in CI they must be.

import type { ExecutionContext } from 'ava';

/** Set where a missing program is a failure. */
const required = process.env.GROUPCONV_INTEROP === 'required';

/** What `load` gives, or null where it fails and need not succeed. */
export function whereThere<T>(load: () => T): T | null {
  try {
    return load();
  } catch (error) {
    if (required) throw error;
    return null;
  }
}

/** Says why a test has nothing to show. */
export function explainAbsence(t: ExecutionContext, what: string): void {
  t.log(`skipped: needs ${what}`);
  t.pass();
}
