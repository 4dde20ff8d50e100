import { readFileSync } from 'node:fs';
import test from 'ava';
import {
  Conv2d,
  Linear,
  Module,
  memory,
  ones,
  parameter,
  ReLU,
  ResNeXt,
  resnext50_32x4d,
  Sequential,
  scope,
  summary,
  type Tensor,
} from '../lib/index.js';
import { throwsCode } from './helpers/errors.js';
import { settled } from './helpers/memory.js';
import { digest } from './helpers/state.js';

test.serial.beforeEach(settled); // what earlier tests forgot is not to vanish while memory is compared

test.serial("the review's ResNeXt: torchinfo's table, character by character", (t) => {
  const model = new ResNeXt();
  const { bytes } = memory();
  const result = summary(model, [2, 3, 224, 224]);
  t.is(`${result}\n`, readFileSync(new URL('golden/summary_resnext.txt', import.meta.url), 'utf8'));
  t.is(result.totalParams, 25_032_808);
  t.is(result.inputBytes, 2 * 3 * 224 * 224 * 4);
  t.is(result.totalBytes, result.inputBytes + result.forwardBackwardBytes + result.paramBytes);
  t.is(memory().bytes, bytes);
  model.dispose();
});

test.serial('resnext50_32x4d has 4.230 G multiply-adds', (t) => {
  const model = resnext50_32x4d();
  const { rows, multAdds } = summary(model, [1, 3, 224, 224]);
  const of = (type: string) =>
    rows.filter((row) => row.type === type).reduce((sum, row) => sum + row.multAdds, 0);
  t.is(of('Conv2d'), 4_228_431_872);
  t.is(of('Linear'), 2_049_000); // the bias counts
  t.is(multAdds, 4_230_549_096); // and so do BatchNorm's weight and bias, once for each sample
  model.dispose();
});

class Twice extends Module {
  readonly inner = new Linear(4, 4);
  readonly scale = parameter(ones([4]));
  readonly unused = new Linear(4, 3);
  override forward(x: Tensor): Tensor {
    return scope(() => this.inner.forward(this.inner.forward(x)));
  }
}

test.serial("a user's module: own parameters, a child called twice, one that is never called", (t) => {
  const model = new Sequential(new Twice(), new ReLU());
  const lines = summary(model, [3, 4]).toString().split('\n');
  const row = (line: string | undefined) => line?.split(/ {2,}(?=[^ └])/);
  t.deepEqual(row(lines[3]), ['Sequential', '[3, 4]', '--']);
  t.deepEqual(row(lines[4]), ['├─Twice: 1-1', '[3, 4]', '19']); // scale, and what wasn't called
  t.deepEqual(row(lines[5]), ['│    └─Linear: 2-1', '[3, 4]', '20']);
  t.deepEqual(row(lines[6]), ['│    └─Linear: 2-2', '[3, 4]', '(recursive)']);
  t.deepEqual(row(lines[7]), ['├─ReLU: 1-2', '[3, 4]', '--']);
  const { rows, totalParams, multAdds } = summary(model, [3, 4], { depth: 1 });
  t.deepEqual(
    rows.map(({ name }) => name),
    ['', '0', '0.inner', '0.inner', '1'],
  );
  t.is(totalParams, 39);
  t.is(multAdds, 2 * 3 * 20);
  t.deepEqual(row(summary(model, [3, 4], { depth: 1 }).toString().split('\n')[4]), [
    '├─Twice: 1-1',
    '[3, 4]',
    '39',
  ]);
  model.dispose();
});

test.serial('frozen parameters are not trainable, and a leaf of frozen ones is in brackets', (t) => {
  const model = new Sequential(new Conv2d(3, 4, 1), new Conv2d(4, 2, 1));
  for (const tensor of model.children()[0]?.parameters() ?? []) tensor.requiresGrad = false;
  const result = summary(model, [1, 3, 2, 2]);
  t.is(result.trainableParams, 10);
  t.regex(result.toString(), /Conv2d: 1-1 .*\(16\)\n.*Conv2d: 1-2 .* 10\n/);
  t.regex(result.toString(), /Non-trainable params: 16\n/);
  model.dispose();
});

test.serial('the model is left as it was, also when forward throws', (t) => {
  const model = new ResNeXt({ blockRepeats: [[32, 1]], stem: 'cifar', numClasses: 3 });
  model.conv1.eval();
  const look = () =>
    model.modules().map((module) => [module.training, Object.keys(module), Object.hasOwn(module, 'forward')]);
  const [before, values] = [look(), digest(model)];
  const { bytes } = memory();
  summary(model, [1, 3, 8, 8]);
  throwsCode(t, 'INVALID_SHAPE', () => summary(model, [1, 2, 8, 8]));
  t.deepEqual(look(), before);
  t.deepEqual(digest(model), values);
  t.is(memory().bytes, bytes);
  model.dispose();
});
