import { performance } from 'node:perf_hooks';
import test from 'ava';
import { crossEntropy, noGrad, randn, resnext50_32x4d, synchronize, tensor, zeros } from '../lib/index.js';
import { rejectsCode } from './helpers/errors.js';

test.serial('a 1 ms timer keeps ticking while ResNeXt-50 runs', async (t) => {
  const model = resnext50_32x4d().eval();
  const x = randn([2, 3, 224, 224]);
  await noGrad(() => model.forward(x)).data(); // packs the weights
  let ticks = 0;
  const timer = setInterval(() => ticks++, 1);
  const start = performance.now();
  const y = noGrad(() => model.forward(x));
  const returned = performance.now() - start;
  await y.data();
  const elapsed = performance.now() - start;
  clearInterval(timer);
  t.log(
    `forward returned after ${returned.toFixed(1)} ms, values after ${elapsed.toFixed(1)} ms, ${ticks} ticks`,
  );
  t.true(returned < elapsed / 2, 'forward returns before the work is done');
  t.true(ticks >= 5, `${ticks} ticks in ${elapsed} ms`);
  for (const item of [x, y]) item.dispose();
  model.dispose();
});

test.serial('an error while running rejects at the next wait, once, and nothing hangs', async (t) => {
  const logits = zeros([2, 10]);
  const loss = crossEntropy(logits, tensor(Int32Array.of(3, 10)));
  await rejectsCode(t, 'INVALID_ARGUMENT', loss.data(), /label 10/);
  await t.notThrowsAsync(synchronize());
  const fine = crossEntropy(logits, tensor(Int32Array.of(3, 9)));
  t.true(Math.abs(fine.item() - Math.log(10)) < 1e-6);
  crossEntropy(logits, tensor(Int32Array.of(-1, 0)));
  await rejectsCode(t, 'INVALID_ARGUMENT', synchronize(), /label -1/);
});

test.serial('many reads at once all resolve, in any order', async (t) => {
  const tensors = Array.from({ length: 200 }, (_, i) => tensor(Float32Array.of(i)));
  const values = await Promise.all(tensors.map((x) => x.data()));
  t.deepEqual(
    values.map(([v]) => v),
    tensors.map((_, i) => i),
  );
});
