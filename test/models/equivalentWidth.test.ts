import test from 'ava';
import { Bottleneck, equivalentWidth } from '../../lib/index.js';

test("table 2 of the ResNeXt paper: widths with a reference block's parameters", (t) => {
  t.deepEqual(
    [1, 2, 4, 8, 32].map((cardinality) => equivalentWidth(cardinality)),
    [64, 40, 24, 14, 4],
  );
});

test("it inverts: the reference comes back, the parameters are a real block's", (t) => {
  t.is(equivalentWidth(1, { reference: { cardinality: 32, width: 4 } }), 64);
  t.is(equivalentWidth(8, { channels: 512, reference: { cardinality: 8, width: 28 } }), 28);
  for (const cardinality of [1, 2, 4, 8, 32]) {
    const width = cardinality * equivalentWidth(cardinality);
    using block = new Bottleneck(256, width, { cardinality, expansion: 256 / width });
    const parameters = block
      .parameters()
      .filter(({ rank }) => rank === 4)
      .reduce((sum, { size }) => sum + size, 0);
    t.true(Math.abs(parameters / 70_000 - 1) < 0.03, `${cardinality}: ${parameters}`);
  }
});
