// The benchmarks' data files say what they claim: layers as the networks have them, table 2 of the paper.
import test from 'ava';
import { buildNetwork, networkMultiplyAdds, parseNetworks, readNetworks } from '../../benchmarks/networks.js';
import { probeOf, probeSize } from '../../benchmarks/peers/protocol.js';
import {
  leastBytes,
  multiplyAdds,
  outputExtents,
  parseShapes,
  readShapes,
  shapeSets,
} from '../../benchmarks/shapes.js';
import { Conv2d, equivalentWidth, summary } from '../../lib/index.js';

test('a shape line is a name and nine or ten whole numbers', (t) => {
  const [layer, dilated] = parseShapes('# head\nstem 3 8 6 4 3 3 2 1 1 # tail\n\nwide 4 9 9 4 3 3 1 2 2 2\n');
  t.deepEqual(layer, {
    name: 'stem',
    ...{ c: 3, h: 8, w: 6, k: 4, r: 3, s: 3, stride: 2, padding: 1, groups: 1, dilation: 1 },
  });
  t.deepEqual(outputExtents(layer!), [4, 3]);
  t.is(multiplyAdds(layer!, 5), 5 * 4 * 4 * 3 * 3 * 9);
  t.is(leastBytes(layer!, 5), 4 * (5 * 3 * 8 * 6 + 4 * 3 * 9 + 5 * 4 * 4 * 3));
  t.deepEqual(outputExtents(dilated!), [9, 9]);
  t.throws(() => parseShapes('stem 3 8 6 4 3 3 2 1'), {
    message: /shapes:1: expected a name and nine or ten/,
  });
  t.throws(() => parseShapes('\nstem 3 8 6 4 3 3 2 1 x'), { message: /shapes:2/ });
});

test('every layer of every shape file is a convolution', (t) => {
  t.true(shapeSets().length >= 5);
  for (const set of shapeSets())
    for (const layer of readShapes(set)) {
      t.is(layer.c % layer.groups, 0, `${set} ${layer.name}`);
      t.is(layer.k % layer.groups, 0, `${set} ${layer.name}`);
      t.true(Math.min(...outputExtents(layer)) > 0, `${set} ${layer.name}`);
    }
});

test('shape files of networks hold the convolutions that the networks have', (t) => {
  for (const network of readNetworks().filter(({ name }) => shapeSets().includes(name))) {
    const model = buildNetwork(network);
    const names = new Map(model.namedModules());
    const inModel = summary(model, [1, 3, 224, 224]).rows.flatMap(({ name, outputShape: [, k, p, q] }) => {
      const module = names.get(name);
      return module instanceof Conv2d ? [[...module.weight.shape, k, p, q].join()] : [];
    });
    const inFile = readShapes(network.name).map((layer) => {
      const { c, k, r, s, groups } = layer;
      return [k, c / groups, r, s, k, ...outputExtents(layer)].join();
    });
    t.deepEqual([...new Set(inFile)].sort(), [...new Set(inModel)].sort(), network.name);
    model.dispose();
  }
});

test('networks.txt: the sweep is of equal complexity, as table 2 of the ResNeXt paper', (t) => {
  const sweep = readNetworks().filter(({ blocks }) => blocks.join() === '3,4,6,3');
  t.deepEqual(
    sweep.map(({ cardinality, width }) => `${cardinality}x${width}`).sort(),
    ['1x64', '2x40', '32x4', '4x24', '8x14'].sort(),
  );
  for (const { cardinality, width } of sweep) t.is(equivalentWidth(cardinality), width);
  const multAdds = sweep.map((network) => networkMultiplyAdds(network, 1));
  t.true(Math.max(...multAdds) < 1.05 * Math.min(...multAdds));
});

test('a network line names a family and, for resnets, their numbers', (t) => {
  t.deepEqual(parseNetworks('# head\na resnet 3,4 32 4\nb mobilenet - - -'), [
    { name: 'a', family: 'resnet', blocks: [3, 4], cardinality: 32, width: 4 },
    { name: 'b', family: 'mobilenet', blocks: [], cardinality: 1, width: 1 },
  ]);
  for (const line of ['a resnet 3,x 32 4', 'a resnet 3,4 32', 'a densenet 3,4 32 4', 'a mobilenet 3,4 1 1'])
    t.throws(() => parseNetworks(line), { message: /networks.txt:1: expected/ }, line);
});

test('a probe is evenly spaced and never longer than agreed', (t) => {
  t.deepEqual(probeOf([3, 1, 2]), [3, 1, 2]);
  const long = Array.from({ length: 4 * probeSize }, (_, i) => i);
  t.deepEqual(probeOf(long).slice(0, 3), [0, 4, 8]);
  t.is(probeOf(long).length, probeSize);
});
