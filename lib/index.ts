export { noGrad } from './autograd.js';
export { type CreateOptions, full, ones, tensor, zeros } from './create.js';
export {
  type Device,
  type DeviceInfo,
  devices,
  type MemoryInfo,
  memory,
  numThreads,
  setDefaultDevice,
  setNumThreads,
  synchronize,
} from './device.js';
export type { DType, TypedArrayOf } from './dtype.js';
export { type ErrorCode, GroupConvError } from './errors.js';
export { type Conv2dOptions, conv2d } from './ops/conv2d.js';
export { relu, relu6 } from './ops/relu.js';
export type { Padding, Pair } from './options.js';
export { keep, scope } from './scope.js';
export {
  type Shape,
  Tensor,
  type Tensor0D,
  type Tensor1D,
  type Tensor2D,
  type Tensor3D,
  type Tensor4D,
} from './tensor.js';
