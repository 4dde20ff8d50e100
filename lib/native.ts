import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { GroupConvError } from './errors.js';

declare const tensorBrand: unique symbol;
declare const recordingBrand: unique symbol;
/** A tensor on the native side: an opaque, type-tagged handle. */
export type Handle = { readonly [tensorBrand]: true };
/** Recorded work on the native side. */
export type RecordingHandle = { readonly [recordingBrand]: true };
export type HostArray = Float32Array | Int32Array | Uint16Array;
/** The index of a CUDA device, or -1 for the CPU. */
export type DeviceIndex = number;
/** What kernels apply at their stores: 0 none, 1 relu, 2 relu6. */
export type ActivationCode = 0 | 1 | 2;
/** What is an operator of its own: 1 relu, 2 relu6, 3 sigmoid, 4 silu, 5 hardsigmoid, 6 hardswish. */
export type NonlinearityCode = 1 | 2 | 3 | 4 | 5 | 6;
type Nullable = Handle | null;
/** Numbers, one argument each: an array would cost more than the rest of the call. */
export type Conv2dGeometry = readonly [
  strideH: number,
  strideW: number,
  dilationH: number,
  dilationW: number,
  top: number,
  right: number,
  bottom: number,
  left: number,
  groups: number,
];
export type PoolGeometry = readonly [
  kernelH: number,
  kernelW: number,
  strideH: number,
  strideW: number,
  top: number,
  right: number,
  bottom: number,
  left: number,
];

/** The CUDA library, and what it found; texts are empty where there is nothing to say. */
export interface CudaLibrary {
  /** Its file. */
  library: string;
  /** 'CUDA', or 'emulated': on the host, for tests. */
  kind: string;
  /** Why no device can be used. */
  reason: string;
  runtime: string;
  driver: string;
  cudnn: string;
  cudnnPath: string;
  devices: {
    name: string;
    computeCapability: string;
    multiprocessors: number;
    memoryBytes: number;
    /** Why this one can't be used, or no more. */
    reason: string;
    /** Why cuDNN can't be used there. */
    cudnnReason: string;
  }[];
}

/** The addon's whole contract: what the files in bindings/ export, device_api.cpp first, addon.cpp last. */
export interface Native {
  setErrorClass(errorClass: typeof GroupConvError): void;
  empty(device: DeviceIndex, shape: readonly number[], dtype: number): Handle;
  upload(device: DeviceIndex, shape: readonly number[], dtype: number, data: HostArray): Handle;
  read<A extends HostArray>(x: Handle, into: A): Promise<A>;
  readSync(x: Handle, into: HostArray): void;
  write(x: Handle, data: HostArray): void;
  release(x: Handle): void;
  shapeOf(x: Handle): number[];
  transfer(x: Handle, device: DeviceIndex): Handle;
  cudaLibrary(): CudaLibrary;
  openDevice(device: DeviceIndex): void;
  deviceFailure(device: DeviceIndex): string;
  reshape(x: Handle, shape: readonly number[]): Handle;
  synchronize(device: DeviceIndex, value: undefined): Promise<undefined>;
  memory(device: DeviceIndex): [number, number, number, number, number];
  resetPeak(device: DeviceIndex): void;
  busySeconds(device: DeviceIndex): number;
  isa(): string;
  isas(): string[];
  threads(): number;
  setThreads(count: number): void;
  solvers(op: string, device: DeviceIndex): string[];
  forceSolver(op: string, name: string): void;
  setAllowTF32(on: boolean): void;
  setDeterministic(on: boolean): void;
  setAutotune(on: boolean): void;
  tuning(): [op: string, place: string, problem: number[], solver: string][];
  addTuning(op: string, place: string, problem: readonly number[], solver: string): boolean;
  clearTuning(): void;
  measuredEngines(): [name: string, seconds: number][];
  measureSolvers(
    device: DeviceIndex,
    dtype: number,
    problem: Int32Array,
    seconds: number,
    which: string,
  ): [name: string, seconds: number[]][];
  measurePeak(threads: number): number;
  measureBandwidth(threads: number): number;

  beginRecording(): void;
  pauseRecording(paused: boolean): void;
  cancelRecording(): void;
  endRecording(): RecordingHandle;
  checkRecording(recording: RecordingHandle): void;
  replay(recording: RecordingHandle): void;
  recordingBytes(recording: RecordingHandle): number;
  releaseRecording(recording: RecordingHandle): void;

  conv2d(x: Handle, weight: Handle, bias: Nullable, ...geometry: Conv2dGeometry): Handle;
  /** The same for a BatchNorm in training, which finds the result's statistics with it. */
  conv2dNormed(x: Handle, weight: Handle, bias: Nullable, ...geometry: Conv2dGeometry): Handle;
  conv2dFused(
    x: Handle,
    weight: Handle,
    bias: Nullable,
    normWeight: Nullable,
    normBias: Nullable,
    mean: Nullable,
    variance: Nullable,
    eps: number,
    residual: Nullable,
    expendable: boolean,
    activation: ActivationCode,
    ...geometry: Conv2dGeometry
  ): Handle;
  conv2dGradInput(
    dy: Handle,
    weight: Handle,
    dx: Handle,
    accumulate: boolean,
    ...geometry: Conv2dGeometry
  ): void;
  conv2dGradWeight(
    x: Handle,
    dy: Handle,
    dweight: Handle,
    accumulate: boolean,
    ...geometry: Conv2dGeometry
  ): void;
  activation(x: Handle, kind: NonlinearityCode): Handle;
  /** `saved` is x of silu and hardswish, else y. */
  activationGrad(saved: Handle, dy: Handle, kind: NonlinearityCode, dx: Handle, accumulate: boolean): void;
  add(a: Handle, b: Handle, activation: ActivationCode): Handle;
  accumulate(target: Handle, addend: Handle): void;
  mul(a: Handle, b: Handle): Handle;
  mulGrad(dy: Handle, other: Handle, dx: Handle, accumulate: boolean): void;
  batchNormTrain(
    x: Handle,
    weight: Nullable,
    bias: Nullable,
    runningMean: Nullable,
    runningVar: Nullable,
    momentum: number,
    eps: number,
    residual: Nullable,
    activation: ActivationCode,
  ): [y: Handle, statistics: Handle];
  batchNormEval(
    x: Handle,
    weight: Nullable,
    bias: Nullable,
    runningMean: Handle,
    runningVar: Handle,
    eps: number,
    residual: Nullable,
    activation: ActivationCode,
  ): Handle;
  batchNormStatistics(
    weight: Nullable,
    bias: Nullable,
    runningMean: Handle,
    runningVar: Handle,
    eps: number,
  ): Handle;
  batchNormGrad(
    dy: Handle,
    x: Handle,
    y: Nullable,
    statistics: Handle,
    training: boolean,
    activation: ActivationCode,
    dx: Nullable,
    accumulateX: boolean,
    dresidual: Nullable,
    accumulateResidual: boolean,
    dweight: Nullable,
    accumulateWeight: boolean,
    dbias: Nullable,
    accumulateBias: boolean,
  ): void;
  /** dbias: [C], or of values that were broadcast, [1, C, 1, 1] or [N, C, 1, 1]; dscale alike. */
  biasGrad(dy: Handle, dbias: Handle, accumulate: boolean): void;
  scaleGrad(dy: Handle, x: Handle, dscale: Handle, accumulate: boolean): void;
  maxPool2d(x: Handle, ...geometry: PoolGeometry): Handle;
  maxPool2dGrad(
    x: Handle,
    y: Handle,
    dy: Handle,
    dx: Handle,
    accumulate: boolean,
    ...geometry: PoolGeometry
  ): void;
  avgPool2d(x: Handle, countIncludePad: boolean, ...geometry: PoolGeometry): Handle;
  avgPool2dGrad(
    dy: Handle,
    countIncludePad: boolean,
    dx: Handle,
    accumulate: boolean,
    ...geometry: PoolGeometry
  ): void;
  adaptiveAvgPool2d(x: Handle, height: number, width: number): Handle;
  adaptiveAvgPool2dGrad(dy: Handle, dx: Handle, accumulate: boolean): void;
  linear(x: Handle, weight: Handle, bias: Nullable): Handle;
  linearGradInput(dy: Handle, weight: Handle, dx: Handle, accumulate: boolean): void;
  linearGradWeight(x: Handle, dy: Handle, dweight: Handle, accumulate: boolean): void;
  softmax(x: Handle, axis: number, log: boolean): Handle;
  softmaxGrad(y: Handle, dy: Handle, axis: number, log: boolean, dx: Handle, accumulate: boolean): void;
  crossEntropy(logits: Handle, labels: Handle, labelSmoothing: number): Handle;
  crossEntropyGrad(
    dloss: Handle,
    logits: Handle,
    labels: Handle,
    labelSmoothing: number,
    dlogits: Handle,
    accumulate: boolean,
  ): void;
  concat(inputs: readonly Handle[], axis: number): Handle;
  slice(x: Handle, axis: number, begin: number, size: number): Handle;
  sliceGrad(dy: Handle, axis: number, begin: number, dx: Handle, accumulate: boolean): void;
  cast(x: Handle, dtype: number): Handle;
  clone(x: Handle): Handle;
  fill(target: Handle, value: number): void;
  copy(target: Handle, source: Handle): void;
  randomUniform(target: Handle, position: Handle, low: number, high: number): void;
  randomNormal(target: Handle, position: Handle, mean: number, std: number): void;
  dropout(x: Handle, p: number, position: Handle): Handle;
  sgdStep(
    parameters: readonly Handle[],
    gradients: readonly Handle[],
    momenta: readonly Handle[],
    numbers: Handle,
    momentum: number,
    weightDecay: number,
    nesterov: boolean,
  ): void;
  adamwStep(
    parameters: readonly Handle[],
    gradients: readonly Handle[],
    firstMoments: readonly Handle[],
    secondMoments: readonly Handle[],
    numbers: Handle,
    beta1: number,
    beta2: number,
    eps: number,
  ): void;
  clipGradNorm(gradients: readonly Handle[], maxNorm: number, factor: number): Handle;
  lerp(targets: readonly Handle[], sources: readonly Handle[], weight: number): void;
}

const require = createRequire(import.meta.url);

/** Up from lib/ or dist/ to the folder whose package.json is ours. */
function packageRoot(): string {
  for (let folder = dirname(fileURLToPath(import.meta.url)); ; folder = dirname(folder)) {
    const file = join(folder, 'package.json');
    if (existsSync(file) && JSON.parse(readFileSync(file, 'utf8')).name === 'groupconv') return folder;
    if (folder === dirname(folder))
      throw new GroupConvError('DEVICE_UNAVAILABLE', 'groupconv: its own package.json is missing');
  }
}

function load(): Native {
  const root = packageRoot();
  const candidates = process.env.GROUPCONV_NATIVE
    ? [process.env.GROUPCONV_NATIVE]
    : [
        join(root, 'build', 'Release', 'groupconv.node'),
        join(root, 'prebuilds', `${process.platform}-${process.arch}`, 'groupconv.node'),
      ];
  const failures: string[] = [];
  for (const file of candidates) {
    try {
      return require(file) as Native;
    } catch (error) {
      failures.push(`  ${file}: ${existsSync(file) ? (error as Error).message : 'no such file'}`);
    }
  }
  throw new GroupConvError(
    'DEVICE_UNAVAILABLE',
    `groupconv: the native addon could not be loaded; "npm rebuild groupconv" builds it.\n${failures.join('\n')}`,
  );
}

export const native: Native = load();
native.setErrorClass(GroupConvError);

/** A finished call of one of the addon's functions. */
export type NativeObserver = (op: keyof Native, args: readonly unknown[], result: unknown) => void;

/**
 * Tells `observer` of every call of the addon's functions while `run` runs: whatever a model computes, and by whatever
 * code, passes here. Calls by the observer itself are not told. The observer doesn't throw.
 */
export function observeNative<T>(observer: NativeObserver, run: () => T): T {
  const functions = { ...native };
  let observing = false;
  for (const [op, call] of Object.entries(functions)) {
    const observed = (...args: unknown[]) => {
      const result: unknown = (call as (...args: unknown[]) => unknown)(...args);
      if (observing) return result;
      observing = true;
      try {
        observer(op as keyof Native, args, result);
      } finally {
        observing = false;
      }
      return result;
    };
    Object.assign(native, { [op]: observed });
  }
  try {
    return run();
  } finally {
    Object.assign(native, functions);
  }
}
