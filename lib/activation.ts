import type { ActivationCode } from './native.js';

/** What the native side calls the activations that a kernel can apply at its store. */
export const activationCodes = { none: 0, relu: 1, relu6: 2 } as const satisfies Record<
  string,
  ActivationCode
>;
export type ActivationName = keyof typeof activationCodes;
