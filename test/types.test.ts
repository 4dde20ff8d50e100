/** What must and must not compile; `npm run typecheck` is the test, ava only runs the file. */
import test from 'ava';
import { expectTypeOf } from 'expect-type';
import {
  adaptiveAvgPool2d,
  add,
  Bottleneck,
  batchNorm,
  Conv2d,
  concat,
  conv2d,
  crossEntropy,
  flatten,
  hardswish,
  linear,
  type Module,
  mul,
  noGrad,
  ones,
  relu,
  SqueezeExcitation,
  scope,
  sigmoid,
  type Tensor0D,
  type Tensor1D,
  type Tensor2D,
  type Tensor4D,
  tensor,
  zeros,
} from '../lib/index.js';

test('ranks and dtypes are types', (t) => {
  const image = zeros([1, 16, 8, 8]);
  const matrix = ones([2, 3]);
  const labels = tensor(Int32Array.of(0, 2));
  const weight = zeros([16, 4, 3, 3]);
  expectTypeOf(image).toMatchTypeOf<Tensor4D>();
  expectTypeOf(matrix).toMatchTypeOf<Tensor2D>();
  expectTypeOf(labels).toMatchTypeOf<Tensor1D<'int32'>>();
  expectTypeOf(tensor(3)).toMatchTypeOf<Tensor0D>();
  expectTypeOf(tensor([[1, 2]])).toMatchTypeOf<Tensor2D>();
  expectTypeOf(zeros([3], { dtype: 'bfloat16' })).toMatchTypeOf<Tensor1D<'bfloat16'>>();

  expectTypeOf(image.data).returns.resolves.toEqualTypeOf<Float32Array>();
  expectTypeOf(labels.data).returns.resolves.toEqualTypeOf<Int32Array>();
  expectTypeOf(labels.dataSync()).toEqualTypeOf<Int32Array>();
  expectTypeOf(image.to('bfloat16').dataSync()).toEqualTypeOf<Float32Array>();
  expectTypeOf(image.to('int32').dataSync()).toEqualTypeOf<Int32Array>();

  expectTypeOf(conv2d(image, weight, { groups: 4 })).toEqualTypeOf<Tensor4D>();
  expectTypeOf(relu(matrix)).toMatchTypeOf<Tensor2D>();
  const narrow = image.to('bfloat16');
  expectTypeOf(crossEntropy(matrix, labels)).toMatchTypeOf<Tensor0D>();
  expectTypeOf(scope(() => matrix)).toMatchTypeOf<Tensor2D>();
  expectTypeOf(noGrad(() => 3)).toEqualTypeOf<number>();
  expectTypeOf(new Conv2d(16, 16, 1).forward(image)).toMatchTypeOf<Tensor4D>();
  expectTypeOf(new Bottleneck(16, 8, { cardinality: 2 })).toMatchTypeOf<Module>();
  expectTypeOf(adaptiveAvgPool2d(image, 1)).toMatchTypeOf<Tensor4D>();
  expectTypeOf(mul(image, ones([1, 16, 1, 1]))).toMatchTypeOf<Tensor4D>();
  expectTypeOf(new SqueezeExcitation(16, 4).forward(image)).toEqualTypeOf<Tensor4D>();
  expectTypeOf(sigmoid(matrix)).toMatchTypeOf<Tensor2D>();

  expectTypeOf(tensor(new Uint8Array(3))).toMatchTypeOf<Tensor1D>();
  expectTypeOf(tensor([1, 2], undefined, { dtype: 'int32' })).toMatchTypeOf<Tensor1D<'int32'>>();

  // Not every device runs these.
  const compiles = () => {
    expectTypeOf(conv2d(narrow, weight, { bias: ones([16]) })).toEqualTypeOf<Tensor4D<'bfloat16'>>();
    expectTypeOf(relu(add(narrow, narrow))).toMatchTypeOf<Tensor4D<'bfloat16'>>();
    expectTypeOf(hardswish(mul(narrow, adaptiveAvgPool2d(narrow, 1)))).toMatchTypeOf<Tensor4D<'bfloat16'>>();
    expectTypeOf(linear(matrix.to('float16'), matrix)).toEqualTypeOf<Tensor2D<'float16'>>();
    expectTypeOf(flatten(narrow)).toEqualTypeOf<Tensor2D<'bfloat16'>>();
    expectTypeOf(batchNorm(narrow, { training: true })).toMatchTypeOf<Tensor4D<'bfloat16'>>();
    expectTypeOf(concat([narrow, narrow])).toMatchTypeOf<Tensor4D<'bfloat16'>>();
    expectTypeOf(crossEntropy(matrix.to('float16'), labels)).toMatchTypeOf<Tensor0D>();
    expectTypeOf(narrow.to('cpu')).toMatchTypeOf<Tensor4D<'bfloat16'>>();
  };

  // The lines below must not compile; they never run.
  const wrong = () => {
    // @ts-expect-error a matrix is no image
    conv2d(matrix, weight);
    // @ts-expect-error an image is no vector
    conv2d(image, weight, { bias: image });
    // @ts-expect-error labels are int32
    crossEntropy(matrix, ones([2]));
    // @ts-expect-error without a dtype a list is float32, whatever the context wants
    crossEntropy(matrix, tensor([1, 2]));
    // @ts-expect-error logits are of floating point
    crossEntropy(zeros([2, 3], { dtype: 'int32' }), labels);
    // @ts-expect-error relu takes floating point
    relu(labels);
    // @ts-expect-error summands have one dtype
    add(image, narrow);
    // @ts-expect-error factors have one rank
    mul(image, matrix);
    // @ts-expect-error no such activation
    new SqueezeExcitation(8, 2, { activation: 'gelu' });
    // @ts-expect-error weights are float32
    conv2d(narrow, weight.to('bfloat16'));
    // @ts-expect-error no module computes in integers
    new Conv2d(1, 1, 1).computeDtype = 'int32';
    // @ts-expect-error pooling takes images
    adaptiveAvgPool2d(matrix, 1);
    // @ts-expect-error there is no float64
    zeros([1], { dtype: 'float64' });
    // @ts-expect-error unknown option
    conv2d(image, weight, { group: 2 });
    // @ts-expect-error unknown option
    new Conv2d(1, 1, 1, { group: 2 });
    // @ts-expect-error no such form
    new Bottleneck(16, 8, { form: 'summed' });
    // @ts-expect-error shape is read-only
    image.shape[0] = 2;
    // @ts-expect-error no device of that name
    ones([1], { device: 'gpu' });
  };
  t.is(typeof compiles, 'function');
  t.is(typeof wrong, 'function');
  t.is(flatten(image).rank, 2);
});
