/** Transfer learning: another classifier, or none. */
import test from 'ava';
import {
  crossEntropy,
  Identity,
  Linear,
  type Module,
  manualSeed,
  memory,
  mobilenet_v1,
  noGrad,
  optim,
  ResNeXt,
  randn,
  Sequential,
  scope,
  tensor,
} from '../../lib/index.js';
import { settled } from '../helpers/memory.js';

const networks = {
  ResNeXt: () => new ResNeXt({ stem: 'cifar', stemChannels: 16, cardinality: 4, blockRepeats: [[16, 1]] }),
  mobilenet_v1: () => mobilenet_v1(0.25),
};

for (const [name, make] of Object.entries(networks)) {
  test.serial(`${name}: an Identity instead of the classifier gives the features`, async (t) => {
    manualSeed(1);
    using model = make().eval();
    using x = randn([2, 3, 32, 32]);
    const { weight, inFeatures } = model.classifier;
    model.classifier.dispose();
    t.true(weight.disposed);
    Object.assign(model, { classifier: new Identity() });
    const { bytes } = await settled();
    for (const run of [noGrad, scope])
      run(() => {
        using features = model.forward(x);
        t.deepEqual([...features.shape], [2, inFeatures]);
        t.is(features.dataSync().length, 2 * inFeatures);
      });
    t.is(memory().bytes, bytes);
  });

  test.serial(`${name}: only a new classifier is trained`, (t) => {
    using model = make();
    for (const parameter of model.parameters()) parameter.requiresGrad = false;
    model.classifier.dispose();
    model.classifier = new Linear(model.classifier.inFeatures, 3);
    using optimizer = new optim.SGD(model.classifier.parameters(), { lr: 0.1 });
    using x = randn([4, 3, 32, 32]);
    using labels = tensor(Int32Array.of(0, 1, 2, 0));
    const losses = Array.from({ length: 5 }, () =>
      scope(() => {
        optimizer.zeroGrad();
        const loss = crossEntropy(model.forward(x), labels);
        loss.backward();
        optimizer.step();
        return loss.item();
      }),
    );
    t.true((losses.at(-1) as number) < (losses[0] as number));
    t.deepEqual(
      model.namedParameters().flatMap(([key, { grad }]) => (grad ? [key] : [])),
      ['classifier.weight', 'classifier.bias'],
    );
  });
}

test('a module of a Sequential can be exchanged', (t) => {
  const model: Sequential = new Sequential(new Linear(2, 3), new Identity());
  const last: Module = new Linear(3, 1);
  model[1] = last;
  t.is(model.forward(randn([1, 2])).size, 1);
});
