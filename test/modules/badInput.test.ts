import test from 'ava';
import {
  AdaptiveAvgPool2d,
  AvgPool2d,
  BatchNorm2d,
  Bottleneck,
  Conv2d,
  DepthwiseSeparable,
  Dropout,
  type ErrorCode,
  equivalentWidth,
  InvertedResidual,
  Linear,
  MaxPool2d,
  memory,
  mobilenet_v1,
  mobilenet_v2,
  mobilenet_v3_large,
  mobilenet_v3_small,
  ones,
  ResNeXt,
  resnet50,
  Sequential,
  SqueezeExcitation,
  seresnext50_32x4d,
  summary,
} from '../../lib/index.js';
import { throwsCode } from '../helpers/errors.js';
import { settled } from '../helpers/memory.js';

test.serial.beforeEach(settled); // what earlier tests forgot is not to vanish while memory is compared

const x = ones([1, 8, 4, 4]);
// biome-ignore lint/suspicious/noExplicitAny: what JavaScript may pass
const any = (value: unknown): any => value;

const wrong: [message: RegExp, call: () => unknown, code?: ErrorCode][] = [
  [/Conv2d: 3 groups don't divide 8/, () => new Conv2d(8, 9, 3, { groups: 3 })],
  [/Conv2d: inChannels/, () => new Conv2d(0, 9, 3)],
  [/Conv2d: outChannels/, () => new Conv2d(3, 1.5, 3)],
  [/Conv2d: kernelSize/, () => new Conv2d(3, 4, 0)],
  [/Conv2d: padding/, () => new Conv2d(3, 4, 3, { padding: -1 })],
  [/Conv2d: stride/, () => new Conv2d(3, 4, 3, { stride: any('2') })],
  [/Conv2d: unknown option dilatation/, () => new Conv2d(3, 4, 3, any({ dilatation: 2 }))],
  [/BatchNorm2d: numFeatures/, () => new BatchNorm2d(-1)],
  [/Conv2d: options are an object .*, found 2/, () => new Conv2d(3, 4, 3, any(2))],
  [/Conv2d: bias is a boolean, found "no"/, () => new Conv2d(3, 4, 3, { bias: any('no') })],
  [/Conv2d: inChannels .*found NaN/, () => new Conv2d(Number.NaN, 4, 3)],
  [/Conv2d: inChannels .*found 3$/, () => new Conv2d(any(3n), 4, 3)],
  [
    /Conv2d: padding is .*\[top, right, bottom, left\], found "same"/,
    () => new Conv2d(3, 4, 3, { padding: any('same') }),
  ],
  [/BatchNorm2d: momentum .*found null/, () => new BatchNorm2d(4, { momentum: any(null) })],
  [/BatchNorm2d: eps/, () => new BatchNorm2d(4, { eps: -1 })],
  [/BatchNorm2d: momentum/, () => new BatchNorm2d(4, { momentum: 2 })],
  [/BatchNorm2d: unknown option epsilon/, () => new BatchNorm2d(4, any({ epsilon: 1 }))],
  [/Linear: inFeatures/, () => new Linear(any(undefined), 3)],
  [/Linear: unknown option biases/, () => new Linear(2, 3, any({ biases: false }))],
  [/MaxPool2d: kernelSize/, () => new MaxPool2d(0)],
  [/MaxPool2d: unknown option dilation/, () => new MaxPool2d(2, any({ dilation: 2 }))],
  [/AvgPool2d: stride/, () => new AvgPool2d(2, { stride: 0 })],
  [/AdaptiveAvgPool2d: outputSize/, () => new AdaptiveAvgPool2d([1, 0])],
  [/Dropout: p/, () => new Dropout(1.5)],
  [/Bottleneck: cardinality 3 doesn't divide width 8/, () => new Bottleneck(16, 8, { cardinality: 3 })],
  [/Bottleneck: 8 channels in, 16 out at stride 1 need/, () => new Bottleneck(8, 8, { cardinality: 2 })],
  [
    /Bottleneck: 16 channels in, 16 out at stride 2/,
    () => new Bottleneck(16, 8, { cardinality: 2, stride: 2 }),
  ],
  [/Bottleneck: form is one of/, () => new Bottleneck(16, 8, { cardinality: 2, form: any('summed') })],
  [
    /Bottleneck: width \* expansion/,
    () => new Bottleneck(16, 8, { cardinality: 2, expansion: 0.3, projection: true }),
  ],
  [/Bottleneck: unknown option groups/, () => new Bottleneck(16, 8, any({ groups: 2 }))],
  [/DepthwiseSeparable: activation/, () => new DepthwiseSeparable(8, 8, { activation: any('gelu') })],
  [/needs a padding of its own/, () => new DepthwiseSeparable(8, 8, { kernelSize: 2 })],
  [/channelMultiplier/, () => new DepthwiseSeparable(8, 8, { channelMultiplier: 0 })],
  [/DepthwiseSeparable: unknown option groups/, () => new DepthwiseSeparable(8, 8, any({ groups: 8 }))],
  [
    /DepthwiseSeparable: activation is one of 'relu', .*, found "gelu"/,
    () => new DepthwiseSeparable(8, 8, { activation: any('gelu') }),
  ],
  [
    /Bottleneck: squeezeReduction 3 doesn't divide 16/,
    () => new Bottleneck(16, 8, { cardinality: 2, squeezeReduction: 3 }),
  ],
  [
    /Bottleneck: squeezeReduction/,
    () => new Bottleneck(16, 8, { cardinality: 2, squeezeReduction: any('4') }),
  ],
  [
    /SqueezeExcitation: activation is one of .*, found "selu"/,
    () => new SqueezeExcitation(8, 2, { activation: any('selu') }),
  ],
  [
    /SqueezeExcitation: scaleActivation is one of .*, found null/,
    () => new SqueezeExcitation(8, 2, { scaleActivation: any(null) }),
  ],
  [/SqueezeExcitation: unknown option gate/, () => new SqueezeExcitation(8, 2, any({ gate: 'sigmoid' }))],
  [/SqueezeExcitation: options are an object/, () => new SqueezeExcitation(8, 2, any(null))],
  [/SqueezeExcitation: squeezeChannels/, () => new SqueezeExcitation(8, 0)],
  [/InvertedResidual: options are an object/, () => new InvertedResidual(8, 8, any(null))],
  [/InvertedResidual: kernelSize is odd, found 4/, () => new InvertedResidual(8, 8, { kernelSize: 4 })],
  [/InvertedResidual: outChannels/, () => new InvertedResidual(8, any('8'))],
  [/InvertedResidual: expandedChannels/, () => new InvertedResidual(8, 8, { expandedChannels: 0 })],
  [/InvertedResidual: squeezeChannels/, () => new InvertedResidual(8, 8, { squeezeChannels: 1.5 })],
  [/InvertedResidual: stride/, () => new InvertedResidual(8, 8, { stride: 0 })],
  [/InvertedResidual: activation/, () => new InvertedResidual(8, 8, { activation: any(null) })],
  [/InvertedResidual: unknown option expansion/, () => new InvertedResidual(8, 8, any({ expansion: 6 }))],
  [/mobilenet_v2: widthMultiplier .*found "1"/, () => mobilenet_v2(any('1'))],
  [/mobilenet_v2: unknown option classes/, () => mobilenet_v2(1, any({ classes: 10 }))],
  [/mobilenet_v3_large: widthMultiplier/, () => mobilenet_v3_large(17)],
  [/mobilenet_v3_small: unknown option/, () => mobilenet_v3_small(1, any({ depth: 10 }))],
  [/Dropout: p/, () => mobilenet_v3_small(1, { dropout: 2 })],
  [
    /seresnext50_32x4d: unknown option squeezeReduction/,
    () => seresnext50_32x4d(any({ squeezeReduction: 8 })),
  ],
  [/./, () => new SqueezeExcitation(4, 2).forward(x), 'INVALID_SHAPE'],
  [/./, () => new InvertedResidual(4, 4).forward(x), 'INVALID_SHAPE'],
  [/ResNeXt: stem/, () => new ResNeXt({ stem: any('svhn') })],
  [/ResNeXt: blockRepeats/, () => new ResNeXt({ blockRepeats: [] })],
  [/ResNeXt: unknown option classes/, () => new ResNeXt(any({ classes: 10 }))],
  [/resnet50: unknown option cardinality/, () => resnet50(any({ cardinality: 2 }))],
  [/mobilenet_v1: widthMultiplier/, () => mobilenet_v1(0)],
  [/mobilenet_v1: unknown option classes/, () => mobilenet_v1(1, any({ classes: 10 }))],
  [/equivalentWidth: cardinality/, () => equivalentWidth(0)],
  [/equivalentWidth: 300 branches/, () => equivalentWidth(300)],
  [/equivalentWidth: reference: unknown option/, () => equivalentWidth(2, { reference: any({ depth: 3 }) })],
  [/summary: depth/, () => summary(new Sequential(), [1], { depth: -1 })],
  [/summary: unknown option deep/, () => summary(new Sequential(), [1], any({ deep: 1 }))],
  [
    /conv2d: .* takes 4 input channels, x \[1, 8, 4, 4\] has 8/,
    () => new Conv2d(4, 4, 1).forward(x),
    'INVALID_SHAPE',
  ],
  [/./, () => new BatchNorm2d(4).forward(x), 'INVALID_SHAPE'],
  [/./, () => new Bottleneck(16, 8, { cardinality: 2 }).eval().forward(x), 'INVALID_SHAPE'],
  [/./, () => summary(new ResNeXt({ blockRepeats: [[32, 1]] }), [1, 4, 64, 64]), 'INVALID_SHAPE'],
];

for (const [message, call, code = 'INVALID_ARGUMENT'] of wrong)
  test.serial(`${code} ${message}: ${String(call).slice(6)}`, (t) => throwsCode(t, code, call, message));

test.serial('a wrong call of forward leaves nothing behind', (t) => {
  using block = new Bottleneck(16, 8, { cardinality: 2 });
  global.gc?.(); // what the tests above forgot
  const { bytes } = memory();
  for (const mode of ['train', 'eval'] as const)
    throwsCode(t, 'INVALID_SHAPE', () => block[mode]().forward(x));
  t.is(memory().bytes, bytes);
});
