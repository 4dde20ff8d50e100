import { check, GroupConvError, show } from './errors.js';
import { type CudaLibrary, type DeviceIndex, native } from './native.js';
import { checkOptions } from './options.js';

/**
 * `'cuda'` is the first CUDA device that can be used, `'auto'` the same, or the CPU where there is none; `devices()` says
 * why.
 */
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
  /** CUDA: the device's name, compute capability ("9.0") and memory. */
  name?: string;
  computeCapability?: string;
  multiprocessors?: number;
  memoryBytes?: number;
  /** CUDA: groupconv's library for it; `'emulated'` where that is the tests', which computes on the host. */
  library?: string;
  kind?: 'CUDA' | 'emulated';
  /** CUDA: versions of the runtime in the library, of CUDA in the driver, and of cuDNN, and cuDNN's file. */
  runtime?: string;
  driver?: string;
  cudnn?: string;
  cudnnPath?: string;
  /** CUDA: why convolutions there do without cuDNN, which did not start; told once one of them has asked for it. */
  cudnnReason?: string;
}

let defaultDevice: Device | undefined;
let library: CudaLibrary | undefined;

/**
 * CUDA devices that have been opened, those that could not be or have failed since, with the reasons, and what `'cuda'`
 * is.
 */
const opened = new Set<number>();
const unopened = new Map<number, string>();
let firstCuda: number | undefined;

/** What the CUDA library found; it looks once in a process. */
function cudaLibrary(): CudaLibrary {
  library ??= native.cudaLibrary();
  return library;
}

/** @internal The device that a name means now. @throws DEVICE_UNAVAILABLE, INVALID_ARGUMENT */
export function resolveDevice(device: Device = currentDefault()): Device {
  if (device === 'cpu') return device;
  if (device === 'auto') {
    const first = firstUsable((index) => !unopened.has(index));
    return first === undefined ? 'cpu' : `cuda:${first}`;
  }
  check(
    /^cuda(:\d+)?$/.test(String(device)),
    'INVALID_ARGUMENT',
    () => `device: expected 'cpu', 'cuda', 'cuda:<index>' or 'auto', found ${show(device)}`,
  );
  const { reason, devices } = cudaLibrary();
  check(reason === '', 'DEVICE_UNAVAILABLE', () => `${device}: ${reason}`);
  if (device === 'cuda') {
    const first = firstUsable(() => true);
    if (first === undefined)
      throw new GroupConvError(
        'DEVICE_UNAVAILABLE',
        devices.map((_, index) => `cuda:${index}: ${unopened.get(index) ?? reasonAgainst(index)}`).join('; '),
      );
    return `cuda:${first}`;
  }
  const index = deviceIndex(device);
  check(
    index < devices.length,
    'DEVICE_UNAVAILABLE',
    () => `${device}: there ${devices.length === 1 ? 'is one device' : `are ${devices.length} devices`}`,
  );
  const against = reasonAgainst(index);
  check(against === '', 'DEVICE_UNAVAILABLE', () => `${device}: ${against}`);
  return `cuda:${index}`;
}

/**
 * The first CUDA device that can be opened, of those that may be tried; from then on always the same, until it fails,
 * which lasts.
 */
function firstUsable(mayTry: (index: number) => boolean): number | undefined {
  const { reason, devices } = cudaLibrary();
  if (reason !== '') return undefined;
  if (firstCuda !== undefined && !hasFailed(firstCuda)) return firstCuda;
  firstCuda = devices
    .map((_, index) => index)
    .find((index) => mayTry(index) && reasonAgainst(index) === '' && !hasFailed(index));
  return firstCuda;
}

/** Whether a device that was opened can be used no more. */
function hasFailed(index: number): boolean {
  const failure = native.deviceFailure(index);
  if (failure !== '') unopened.set(index, failure);
  return failure !== '';
}

/** Opens a CUDA device; why it can't be used, or nothing. */
function reasonAgainst(index: number): string {
  const unfit = cudaLibrary().devices[index]?.reason ?? '';
  if (opened.has(index) || unfit !== '') return unfit;
  try {
    native.openDevice(index);
    opened.add(index);
    unopened.delete(index);
    return '';
  } catch (error) {
    if (!(error instanceof GroupConvError && error.code === 'DEVICE_UNAVAILABLE')) throw error;
    const reason = error.message.replace(`cuda:${index}: `, '');
    unopened.set(index, reason);
    return reason;
  }
}

/** GROUPCONV_DEVICE, until `setDefaultDevice` says otherwise. */
function currentDefault(): Device {
  defaultDevice ??= resolveDevice((process.env.GROUPCONV_DEVICE as Device | undefined) ?? 'cpu');
  return defaultDevice;
}

/** @internal */
export function deviceIndex(device: Device): DeviceIndex {
  return device === 'cpu' ? -1 : Number(device.split(':')[1] ?? 0);
}

/** Every device that groupconv knows of, with the reasons for those that can't be used. */
export function devices(): DeviceInfo[] {
  const cpu: DeviceInfo = {
    device: 'cpu',
    available: true,
    isa: native.isa(),
    isas: native.isas(),
    threads: native.threads(),
  };
  const { devices: found, reason, ...versions } = native.cudaLibrary(); // asked anew: a device may have failed since
  const known = Object.fromEntries(Object.entries(versions).filter(([, text]) => text !== ''));
  if (reason !== '') return [cpu, { device: 'cuda', available: false, reason, ...known }];
  return [
    cpu,
    ...found.map(({ reason: unfit, cudnnReason, ...each }, index) => {
      const against = unfit || unopened.get(index);
      return {
        device: `cuda:${index}` as const,
        available: !against,
        ...(against && { reason: against }),
        ...(cudnnReason && { cudnnReason }),
        ...each,
        ...known,
      };
    }),
  ];
}

/**
 * Where tensors are made when no device is given; at first, the environment variable GROUPCONV_DEVICE, or `'cpu'`.
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
    () => `setNumThreads: expected a whole number, found ${show(threads)}`,
  );
  native.setThreads(threads);
}
export function numThreads(): number {
  return native.threads();
}

/**
 * Whether CUDA may round the factors of float32 products to TF32 (10 bits of fraction instead of 23) for its tensor
 * cores: several times faster, and three decimal digits. Sums stay float32, and other dtypes are not concerned. Off at
 * first: float32 is float32 unless asked otherwise. (torch.backends.cudnn.allow_tf32 is on at first.) It counts for
 * operators that are called from now on; captured ones keep what was set when they were captured.
 */
export function setAllowTF32(on: boolean): void {
  native.setAllowTF32(checkedSwitch('setAllowTF32', on));
}

/**
 * Whether CUDA leaves out cuDNN's engines that add up in an order which changes from run to run, so that runs repeat bit
 * by bit. On at first; groupconv's own kernels repeat always. As torch.backends.cudnn.deterministic. Like
 * `setAllowTF32`, it counts for operators that are called from now on.
 */
export function setDeterministic(on: boolean): void {
  native.setDeterministic(checkedSwitch('setDeterministic', on));
}

function checkedSwitch(name: string, on: boolean): boolean {
  check(
    typeof on === 'boolean',
    'INVALID_ARGUMENT',
    () => `${name}: expected true or false, found ${show(on)}`,
  );
  return on;
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
  checkOptions('memory', options, ['device', 'resetPeak']);
  const index = deviceIndex(resolveDevice(options.device));
  const [tensors, bytes, peakBytes, derivedBytes, reservedBytes] = native.memory(index);
  if (options.resetPeak) native.resetPeak(index);
  return { tensors, bytes, peakBytes, derivedBytes, reservedBytes };
}
