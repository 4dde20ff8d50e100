import test from 'ava';
import {
  centerCrop,
  compose,
  Generator,
  type Image,
  normalize,
  randomCrop,
  randomHorizontalFlip,
  resize,
} from '../../lib/index.js';
import { hashed, loadGolden, relativeError } from '../golden/golden.js';
import { throwsCode } from '../helpers/errors.js';

const image = (channels: number, height: number, width: number, values?: number[]): Image => ({
  data: Uint8Array.from(values ?? Array.from({ length: channels * height * width }, (_, i) => i + 1)),
  channels,
  height,
  width,
});
const random = () => new Generator(1);
const size = ({ channels, height, width }: Image) => [channels, height, width];

test('randomCrop shows every place of the padded image, zeros around it', (t) => {
  const crop = randomCrop(2, { padding: 1 });
  const seen = new Set<string>();
  for (let i = 0; i < 300; i++) {
    const cropped = crop(image(1, 2, 2), new Generator(1, [i, 0]));
    t.deepEqual(size(cropped), [1, 2, 2]);
    seen.add(cropped.data.join());
  }
  t.deepEqual(
    [...seen].sort(),
    [
      '0,0,0,1',
      '0,0,1,2',
      '0,0,2,0',
      '0,1,0,3',
      '1,2,3,4',
      '2,0,4,0',
      '0,3,0,0',
      '3,4,0,0',
      '4,0,0,0',
    ].sort(),
  );
  const wide = randomCrop([1, 3])(image(2, 2, 3), random());
  t.true(['1,2,3,7,8,9', '4,5,6,10,11,12'].includes(wide.data.join()));
  t.true(
    randomCrop(2)({ ...image(1, 2, 2), data: Float32Array.of(1, 2, 3, 4) }, random()).data instanceof
      Float32Array,
  );
  throwsCode(
    t,
    'INVALID_SHAPE',
    () => randomCrop(5, { padding: 1 })(image(1, 2, 9), random()),
    /5 x 5 of an image of 2 x 9/,
  );
  throwsCode(t, 'INVALID_ARGUMENT', () => randomCrop(0));
  throwsCode(t, 'INVALID_ARGUMENT', () => randomCrop(1, { pad: 1 } as object), /unknown option pad/);
});

test('randomHorizontalFlip', (t) => {
  const flip = (p: number, seed = 1) =>
    randomHorizontalFlip(p)(image(2, 1, 3), new Generator(seed)).data.join();
  t.is(flip(0), '1,2,3,4,5,6');
  t.is(flip(1), '3,2,1,6,5,4');
  const flips = Array.from({ length: 1000 }, (_, seed) => flip(0.3, seed)).filter(
    (found) => found[0] === '3',
  );
  t.true(Math.abs(flips.length - 300) < 60, `${flips.length} of 1000`);
  throwsCode(t, 'INVALID_ARGUMENT', () => randomHorizontalFlip(1.5));
});

test('centerCrop', (t) => {
  t.is(centerCrop(2)(image(1, 4, 4), random()).data.join(), '6,7,10,11');
  t.is(centerCrop([1, 4])(image(1, 3, 2), random()).data.join(), '0,3,4,0');
});

test('normalize', (t) => {
  const [mean, std] = [
    [0.5, 0.25],
    [0.5, 0.125],
  ];
  const bytes = normalize(mean, std)(image(2, 1, 2, [0, 255, 51, 102]), random());
  t.deepEqual(
    [...bytes.data].map((value) => Number(value.toFixed(5))),
    [-1, 1, -0.4, 1.2],
  );
  const floats = normalize(mean, std)({ ...image(2, 1, 1), data: Float32Array.of(1.5, 1) }, random());
  t.deepEqual([...floats.data], [2, 6]);
  throwsCode(
    t,
    'INVALID_SHAPE',
    () => normalize(mean, std)(image(3, 1, 1), random()),
    /2 means, the image has 3/,
  );
  throwsCode(t, 'INVALID_ARGUMENT', () => normalize([0], [0]));
  throwsCode(t, 'INVALID_ARGUMENT', () => normalize([0, 1], [1]));
});

test("resize is PyTorch's bilinear with antialiasing", (t) => {
  const data = hashed(11, 2 * 13 * 17);
  for (const [key, expected] of loadGolden('resize')) {
    const [height, width] = key.split('x').map(Number) as [number, number];
    const made = resize([height, width])({ data, channels: 2, height: 13, width: 17 }, random());
    t.deepEqual(size(made), [2, height, width]);
    const error = relativeError(made.data, expected.data);
    t.true(error < 1e-6, `${key}: error ${error}`);
  }
});

test('resize by the shorter side, and of bytes', (t) => {
  t.deepEqual(size(resize(4)(image(1, 8, 10), random())), [1, 4, 5]);
  t.deepEqual(size(resize(4)(image(1, 10, 8), random())), [1, 5, 4]);
  t.deepEqual([...resize([1, 1])(image(1, 2, 2, [0, 1, 1, 1]), random()).data], [1]);
  t.deepEqual([...resize([2, 1])(image(1, 2, 2, [255, 255, 0, 2]), random()).data], [255, 1]);
});

test('compose runs them in order, with one generator', (t) => {
  const both = compose(centerCrop([1, 2]), randomHorizontalFlip(1), normalize([0], [1]));
  t.deepEqual(
    [...both(image(1, 1, 4), random()).data].map((value) => Math.round(value * 255)),
    [3, 2],
  );
  t.is(compose()(image(1, 1, 1), random()).data[0], 1);
});
