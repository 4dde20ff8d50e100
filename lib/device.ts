import { check, GroupConvError } from './errors.js';
import { type DeviceIndex, native } from './native.js';

/** `'auto'` is the first CUDA device, or the CPU where there is none; `devices()` says why. */
export type Device = 'cpu' | 'cuda' | `cuda:${number}` | 'auto';

/** One device, or the reason why it can't be used. */
export interface DeviceInfo {
  device: Device;
  available: boolean;
  /** Why it can't be used. */
  reason?: string;
  /** CPU: the instruction set in use, those it could use, and the threads of one operator. */
  isa?: string;
  isas?: string[];
  threads?: number;
}

const cudaReason = 'this build of groupconv has no CUDA backend';
let defaultDevice: Device = 'cpu';

/** @internal The device that a name means now. */
export function resolveDevice(device: Device = defaultDevice): Device {
  if (device === 'cpu') return device;
  if (device === 'auto') return 'cpu';
  check(
    /^cuda(:\d+)?$/.test(String(device)),
    'INVALID_ARGUMENT',
    () => `device: expected 'cpu', 'cuda', 'cuda:<index>' or 'auto', found ${JSON.stringify(device)}`,
  );
  throw new GroupConvError('DEVICE_UNAVAILABLE', `${device}: ${cudaReason}`);
}

/** @internal */
export function deviceIndex(device: Device): DeviceIndex {
  return device === 'cpu' ? -1 : Number(device.split(':')[1] ?? 0);
}

/** Every device that groupconv knows of, with the reasons for those that can't be used. */
export function devices(): DeviceInfo[] {
  return [
    { device: 'cpu', available: true, isa: native.isa(), isas: native.isas(), threads: native.threads() },
    { device: 'cuda', available: false, reason: cudaReason },
  ];
}

/**
 * Where tensors are made when no device is given; `'cpu'` at first.
 * @throws DEVICE_UNAVAILABLE when it can't be used, INVALID_ARGUMENT when it is no device.
 */
export function setDefaultDevice(device: Device): void {
  defaultDevice = resolveDevice(device);
}

/**
 * Threads that one operator on the CPU uses; at first, what the process may use (its affinity mask and cgroup quota)
 * or GROUPCONV_NUM_THREADS. Results don't depend on it.
 */
export function setNumThreads(threads: number): void {
  check(
    Number.isInteger(threads),
    'INVALID_ARGUMENT',
    () => `setNumThreads: expected a whole number, found ${threads}`,
  );
  native.setThreads(threads);
}
export function numThreads(): number {
  return native.threads();
}

/** Resolves when everything queued on the device so far is done; rejects with the first error among it. */
export async function synchronize(device?: Device): Promise<void> {
  await native.synchronize(deviceIndex(resolveDevice(device)), undefined);
}

/**
 * Seconds that a device has spent inside operators since the start of this thread's library. What its growth lacks to
 * the wall clock's, the device had nothing to do.
 */
export function busySeconds(device?: Device): number {
  return native.busySeconds(deviceIndex(resolveDevice(device)));
}

/** Memory of one device. */
export interface MemoryInfo {
  /** Tensors that hold memory, those saved for backward included. */
  tensors: number;
  /** Bytes of their elements. */
  bytes: number;
  /** The most that `bytes` has been since the start or since `memory({ resetPeak: true })`. */
  peakBytes: number;
  /** Packed and folded forms of parameters, kept beside them. */
  derivedBytes: number;
  /** Taken from the system, blocks that are kept for reuse included. */
  reservedBytes: number;
}

/** What a device's memory holds now. */
export function memory(options: { device?: Device; resetPeak?: boolean } = {}): MemoryInfo {
  const index = deviceIndex(resolveDevice(options.device));
  const [tensors, bytes, peakBytes, derivedBytes, reservedBytes] = native.memory(index);
  if (options.resetPeak) native.resetPeak(index);
  return { tensors, bytes, peakBytes, derivedBytes, reservedBytes };
}
