// The generator of golden.ts gives the bits of hashed.py's; every golden file is readable and complete.

import test from 'ava';
import {
  type GoldenInput,
  hashed,
  hashedInput,
  hashedParameter,
  loadCases,
  loadGolden,
  relativeError,
} from './golden.js';

test('hashed, hashedInput and hashedParameter repeat the Python generator bit for bit', (t) => {
  for (const [key, { shape, data }] of loadGolden('generator')) {
    const [kind, seed, ...rest] = key.split('.');
    const makers: Record<string, () => Float32Array> = {
      hashed: () => hashed(Number(seed), data.length),
      input: () => hashedInput({ shape, seed: Number(seed), scale: 1.75, offset: 1000 }),
      parameter: () => hashedParameter(rest.join('.'), shape, Number(seed)),
    };
    t.deepEqual(makers[kind!]!(), data, key);
  }
});

test('conv2d holds y, dx, dw and db of every problem', (t) => {
  const problems = loadCases<{ id: number; bias: boolean }[]>('conv2d');
  const golden = loadGolden('conv2d.forward', 'conv2d.gradInput', 'conv2d.gradWeight');
  t.true(problems.length >= 170);
  for (const { id, bias } of problems) {
    for (const key of ['y', 'dx', 'dw', ...(bias ? ['db'] : [])])
      t.true(golden.has(`${id}.${key}`), `${id}.${key}`);
  }
});

test('ops, modules and training hold results for every case', (t) => {
  for (const [name, result] of [
    ['ops', 'y'],
    ['modules', 'dx'],
    ['training', 'losses'],
  ] as const) {
    const golden = loadGolden(name);
    for (const { id } of loadCases<{ id: number; x?: GoldenInput }[]>(name))
      t.true(golden.has(`${id}.${result}`), `${name} ${id}`);
  }
});

test('relativeError is relative to the expected values, and NaN is never small', (t) => {
  t.is(relativeError([3, 4], [3, 4]), 0);
  t.is(relativeError([3, 4, 0], [3, 4, 5]), Math.SQRT1_2);
  t.false(relativeError([Number.NaN], [1]) < 1);
  t.is(relativeError([1], [0]), Number.POSITIVE_INFINITY);
  t.throws(() => relativeError([1], [1, 2]));
});
