import type { ExecutionContext } from 'ava';
import { type Device, devices, zeros } from '../../lib/index.js';

/**
 * The suite runs on the default device: the CPU, or what GROUPCONV_DEVICE says. GROUPCONV_CUDA_LIBRARY may name the
 * emulated CUDA library, which runs kernels on the host: right, and slow.
 */
export const defaultDevice: Device = (() => {
  using probe = zeros([1]);
  return probe.device;
})();

/** The first usable device beside the CPU, if there is one. */
const accelerator = devices().find(({ device, available }) => available && device !== 'cpu');
export const otherDevice: Device | null = accelerator?.device ?? null;
/** A device that computes in bfloat16 and float16. */
export const narrowDevice = otherDevice;

/** Whether the default device is CUDA on the host: tests leave out what would take minutes there. */
export const isEmulated = devices().find(({ device }) => device === defaultDevice)?.kind === 'emulated';

/** Prints why a test has nothing to run on; the text for `t.pass`. */
export function reasonWithout(t: ExecutionContext, what: string): string {
  const { reason = 'none' } = devices().find(({ available }) => !available) ?? {};
  const text = `skipped: it needs ${what}; ${reason}`;
  t.log(text);
  return text;
}

/** True, and printed, where the default device isn't the CPU: the test is about the CPU's own ways. */
export function skipsOffCpu(t: ExecutionContext, what: string): boolean {
  if (defaultDevice === 'cpu') return false;
  t.log(`skipped on ${defaultDevice}: ${what}`);
  t.pass();
  return true;
}

/** True, and printed, where the default device is emulated. */
export function skipsEmulated(t: ExecutionContext, what: string): boolean {
  if (!isEmulated) return false;
  t.log(`skipped on the emulator, which would take minutes: ${what}`);
  t.pass();
  return true;
}
