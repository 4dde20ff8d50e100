import { check, show } from '../errors.js';

export interface MobileNetOptions {
  /** 3 by default. */
  inChannels?: number;
  /** 1000 by default. */
  numClasses?: number;
}

export interface MobileNetDropoutOptions extends MobileNetOptions {
  /** The probability of a zero before the last linear layer, from 0 to 1; 0.2 by default. */
  dropout?: number;
}

/** @internal */
export const mobileNetDefaults: Required<MobileNetOptions> = { inChannels: 3, numClasses: 1000 };
/** @internal */
export const mobileNetDropoutDefaults: Required<MobileNetDropoutOptions> = {
  ...mobileNetDefaults,
  dropout: 0.2,
};

/** @internal @throws INVALID_ARGUMENT */
export function checkWidthMultiplier(name: string, widthMultiplier: number): void {
  check(
    typeof widthMultiplier === 'number' && widthMultiplier > 0 && widthMultiplier <= 16,
    'INVALID_ARGUMENT',
    () => `${name}: widthMultiplier is above 0, at most 16, found ${show(widthMultiplier)}`,
  );
}

/** The multiple of 8 that is nearest, at least 8, and not a tenth below: as torchvision rounds channels. @internal */
export function divisibleBy8(channels: number): number {
  const nearest = Math.max(8, Math.floor(channels / 8 + 0.5) * 8);
  return nearest < 0.9 * channels ? nearest + 8 : nearest;
}
