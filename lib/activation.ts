import type { ActivationCode, NonlinearityCode } from './native.js';

/** What the native side calls the activations that a kernel can apply at its store. */
export const activationCodes = { none: 0, relu: 1, relu6: 2 } as const satisfies Record<
  string,
  ActivationCode
>;
export type ActivationName = keyof typeof activationCodes;

/** What it calls the nonlinearities that are operators of their own. */
export const nonlinearityCodes = {
  relu: 1,
  relu6: 2,
  sigmoid: 3,
  silu: 4,
  hardsigmoid: 5,
  hardswish: 6,
} as const satisfies Record<string, NonlinearityCode>;
export type NonlinearityName = keyof typeof nonlinearityCodes;
