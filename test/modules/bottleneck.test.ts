/** The three equivalent forms of figure 3 of the ResNeXt paper. */
import test from 'ava';
import {
  Bottleneck,
  type BottleneckForm,
  type BottleneckOptions,
  convertBottleneckState,
  type DType,
  manualSeed,
  memory,
  noGrad,
  randn,
  type Shape,
  scope,
  type Tensor,
  type Tensor4D,
} from '../../lib/index.js';
import { settled } from '../helpers/memory.js';
import { close, digest, fillState } from '../helpers/state.js';

test.serial.beforeEach(settled); // what earlier tests forgot is not to vanish while memory is compared

const forms: BottleneckForm[] = ['grouped', 'concat', 'aggregated'];
type State = Map<string, Tensor<Shape, DType>>;

/** y, dx, and under the grouped form's keys the gradients and the state after one forward and backward. */
function run(block: Bottleneck, x: Tensor4D, dy: Tensor4D) {
  return scope(() => {
    for (const leaf of [x, ...block.parameters()]) leaf.grad = null;
    const y = block.forward(x);
    y.backward(dy);
    const { cardinality, form } = block.options;
    const grouped = (state: State) =>
      new Map(
        [...convertBottleneckState(state, cardinality, form, 'grouped')].map(([key, v]) => [
          key,
          v.dataSync(),
        ]),
      );
    const gradients = new Map(
      block.namedParameters().map(([key, { grad }]) => [key, grad as Tensor<Shape, DType>]),
    );
    return {
      y: y.dataSync(),
      dx: x.grad?.dataSync() ?? [],
      gradients: grouped(gradients),
      state: grouped(block.stateDict()),
    };
  });
}

const blocks: [title: string, inChannels: number, width: number, options: BottleneckOptions][] = [
  ['identity', 16, 8, { cardinality: 4 }],
  ['projection, stride 2', 12, 15, { cardinality: 3, stride: 2, projection: true }],
  ['no shortcut', 8, 12, { cardinality: 2, residual: false, stride: 2 }],
  ['one branch', 16, 4, { cardinality: 1, expansion: 4 }],
  ['as many branches as channels', 16, 8, { cardinality: 8 }],
  ['squeeze-and-excitation', 16, 8, { cardinality: 2, squeezeReduction: 4 }],
  ['squeeze-and-excitation alone', 8, 12, { cardinality: 2, residual: false, squeezeReduction: 8 }],
];

for (const [title, inChannels, width, options] of blocks)
  for (const mode of ['train', 'eval'] as const)
    test.serial(`${title}: all forms have the same outputs and gradients in ${mode}`, (t) => {
      manualSeed(3);
      const start = memory().bytes;
      const reference = new Bottleneck(inChannels, width, options)[mode]();
      fillState(t, reference, 77);
      const x = randn([2, inChannels, 7, 5]);
      x.requiresGrad = true;
      const { stride } = reference.options;
      const dy = randn([2, reference.outChannels, Math.ceil(7 / stride), Math.ceil(5 / stride)]);
      const converted = forms.map((form) => reference.withForm(form));
      const wanted = run(reference, x, dy);
      for (const [i, block] of converted.entries()) {
        t.is(block.options.form, forms[i] as BottleneckForm);
        t.is(block.training, mode === 'train');
        const found = run(block, x, dy);
        const { form } = block.options;
        close(t, found.y, wanted.y, 2e-6, `${form} y`);
        close(t, found.dx, wanted.dx, 5e-6, `${form} dx`);
        t.deepEqual([...found.gradients.keys()].sort(), [...wanted.gradients.keys()].sort());
        for (const [key, gradient] of wanted.gradients)
          if (Math.hypot(...gradient) > 1e-3)
            close(t, found.gradients.get(key) ?? [], gradient, 2e-5, `${form} gradient of ${key}`);
        t.deepEqual([...found.state.keys()].sort(), [...wanted.state.keys()].sort());
        for (const [key, value] of wanted.state)
          close(t, found.state.get(key) ?? [], value, 2e-6, `${form} ${key}`);
        const inference = noGrad(() => block.forward(x));
        if (mode === 'eval') close(t, inference.dataSync(), wanted.y, 2e-6, `${form} y, fused`);
        inference.dispose();
      }
      for (const owned of [x, dy, reference, ...converted]) owned.dispose();
      t.is(memory().bytes, start);
    });

test.serial('weights go from every form to every form and back without a change', (t) => {
  const block = new Bottleneck(12, 12, { cardinality: 3, projection: true, squeezeReduction: 6 });
  const original = digest(block);
  for (const one of forms)
    for (const two of forms) {
      const first = block.withForm(one);
      const second = first.withForm(two);
      const back = second.withForm('grouped');
      t.deepEqual(digest(back), original);
      for (const made of [first, second, back]) made.dispose();
    }
  block.dispose();
});

test('children are residual, shortcut, relu, and residual false has no shortcut', (t) => {
  const names = (block: Bottleneck) =>
    block.namedChildren().map(([name, child]) => `${name} ${child.constructor.name}`);
  using identity = new Bottleneck(16, 8, { cardinality: 2 });
  using projected = new Bottleneck(16, 8, { cardinality: 2, projection: true });
  using plain = new Bottleneck(16, 8, { cardinality: 2, residual: false, projection: true });
  t.deepEqual(names(identity), ['residual Sequential', 'shortcut Identity', 'relu ReLU']);
  t.deepEqual(names(projected), ['residual Sequential', 'shortcut Sequential', 'relu ReLU']);
  t.deepEqual(names(plain), ['residual Sequential', 'relu ReLU']);
});
