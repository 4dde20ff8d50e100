export { noGrad } from './autograd.js';
export { type Captured, capture } from './capture.js';
export { type CreateOptions, full, ones, tensor, zeros } from './create.js';
export * from './data/index.js';
export {
  busySeconds,
  type Device,
  type DeviceInfo,
  devices,
  type MemoryInfo,
  memory,
  numThreads,
  setAllowTF32,
  setDefaultDevice,
  setDeterministic,
  setNumThreads,
  synchronize,
} from './device.js';
export type { DType, FloatDType, TypedArrayOf } from './dtype.js';
export { type ErrorCode, GroupConvError } from './errors.js';
export { type ExportOnnxOptions, exportOnnx } from './io/onnx/exportOnnx.js';
export {
  loadSafetensors,
  readSafetensorsMetadata,
  type SaveSafetensorsOptions,
  saveSafetensors,
} from './io/safetensors.js';
export { torchvisionKey, torchvisionState } from './io/torchvision.js';
export { clearTuning, loadTuning, saveTuning, setAutotune } from './io/tuning.js';
export { type EquivalentWidthOptions, equivalentWidth } from './models/equivalentWidth.js';
export { MobileNetV1, mobilenet_v1 } from './models/mobilenet.js';
export type { MobileNetDropoutOptions, MobileNetOptions } from './models/mobilenetOptions.js';
export { MobileNetV2, mobilenet_v2 } from './models/mobilenetV2.js';
export { MobileNetV3, mobilenet_v3_large, mobilenet_v3_small } from './models/mobilenetV3.js';
export {
  type NetworkOptions,
  ResNeXt,
  type ResNeXtOptions,
  resnet50,
  resnext29_8x64d,
  resnext29_16x64d,
  resnext50_32x4d,
  resnext101_32x8d,
  resnext101_64x4d,
  type Stage,
  seresnext50_32x4d,
} from './models/resnext.js';
export { Module, parameter } from './module.js';
export { Hardsigmoid, Hardswish, ReLU, ReLU6, Sigmoid, SiLU } from './modules/activation.js';
export { BatchNorm2d, type BatchNorm2dOptions } from './modules/batchNorm2d.js';
export { Bottleneck, type BottleneckOptions } from './modules/bottleneck.js';
export { type BottleneckForm, convertBottleneckState } from './modules/bottleneckForms.js';
export { Conv2d, type Conv2dModuleOptions } from './modules/conv2d.js';
export { DepthwiseSeparable, type DepthwiseSeparableOptions } from './modules/depthwiseSeparable.js';
export { Dropout } from './modules/dropout.js';
export { Flatten } from './modules/flatten.js';
export { Identity } from './modules/identity.js';
export { InvertedResidual, type InvertedResidualOptions } from './modules/invertedResidual.js';
export { Linear } from './modules/linear.js';
export { AdaptiveAvgPool2d, AvgPool2d, MaxPool2d } from './modules/pool.js';
export { Sequential } from './modules/sequential.js';
export { SqueezeExcitation, type SqueezeExcitationOptions } from './modules/squeezeExcitation.js';
export { hardsigmoid, hardswish, relu, relu6, sigmoid, silu } from './ops/activation.js';
export { add } from './ops/add.js';
export { type BatchNormOptions, batchNorm } from './ops/batchNorm.js';
export { concat, split } from './ops/concat.js';
export { type Conv2dOptions, conv2d } from './ops/conv2d.js';
export { type CrossEntropyOptions, crossEntropy } from './ops/crossEntropy.js';
export { type DropoutOptions, dropout } from './ops/dropout.js';
export { linear } from './ops/linear.js';
export { mul } from './ops/mul.js';
export {
  type AvgPool2dOptions,
  adaptiveAvgPool2d,
  avgPool2d,
  type MaxPool2dOptions,
  maxPool2d,
} from './ops/pool.js';
export { flatten, reshape } from './ops/reshape.js';
export { logSoftmax, softmax } from './ops/softmax.js';
export * as optim from './optim/index.js';
export type { Padding, Pair } from './options.js';
export {
  getRandomState,
  manualSeed,
  type RandomState,
  rand,
  randn,
  setRandomState,
} from './random.js';
export { keep, scope } from './scope.js';
export type { StateSource } from './state.js';
export { type Summary, type SummaryRow, summary } from './summary.js';
export {
  type Shape,
  Tensor,
  type Tensor0D,
  type Tensor1D,
  type Tensor2D,
  type Tensor3D,
  type Tensor4D,
} from './tensor.js';
export * from './training/index.js';
