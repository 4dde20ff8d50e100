// Writes expressions.json: what @vladmandic/face-api's own facial-expression net, on its WebAssembly backend, answers for
// the faces of one photograph that the package ships, and for two images made by a formula. A developer runs it once:
//
//   npm install --no-save @tensorflow/tfjs@4.22.0 @tensorflow/tfjs-backend-wasm@4.22.0
//   node test/golden/makeExpressions.mjs
//
// It shares no code with examples/expressions, so that agreement between the two means something.
import { createHash } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import path from 'node:path';
import sharp from 'sharp';

const require = createRequire(import.meta.url);
const tf = require('@tensorflow/tfjs');
require('@tensorflow/tfjs-backend-wasm');
const faceapi = require('@vladmandic/face-api/dist/face-api.node-wasm.js');

const packageRoot = path.dirname(require.resolve('@vladmandic/face-api/package.json'));
const modelFolder = path.join(packageRoot, 'model');
const photograph = 'demo/sample1.jpg';
const inputSize = 112;

const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex');

/** Faces found by the peer's SSD detector, from left to right. Boxes are in pixels of the photograph. */
async function detectFaces(file) {
  const { data, info } = await sharp(file).raw().toBuffer({ resolveWithObject: true });
  const pixels = tf.tensor3d(new Uint8Array(data), [info.height, info.width, info.channels], 'int32');
  const options = new faceapi.SsdMobilenetv1Options({ minConfidence: 0.5, maxResults: 10 });
  const detections = await faceapi.detectAllFaces(pixels, options);
  pixels.dispose();
  return detections
    .map(({ box: { x, y, width, height }, score }) => ({
      score,
      box: { x, y, width, height },
      crop: squareAround({ x, y, width, height }, info),
    }))
    .sort((a, b) => a.box.x - b.box.x);
}

/** The square on the longer side of the box around its centre, in whole pixels, moved into the image where it sticks out. */
function squareAround({ x, y, width, height }, image) {
  const size = Math.min(Math.round(Math.max(width, height)), image.width, image.height);
  const place = (start, length, limit) =>
    Math.min(Math.max(Math.round(start + (length - size) / 2), 0), limit - size);
  return { left: place(x, width, image.width), top: place(y, height, image.height), size };
}

/** The pixels of a face as the net takes them: 112 x 112 x 3 bytes, RGB. */
function cropFace(file, { left, top, size }) {
  return sharp(file)
    .extract({ left, top, width: size, height: size })
    .resize(inputSize, inputSize, { fit: 'fill', kernel: 'linear' })
    .raw()
    .toBuffer();
}

/** Images of integer arithmetic only, the same on every machine. The test has the same two formulas. */
const synthetic = {
  noise(row, column, channel) {
    let h = (row * inputSize + column) * 3 + channel + 1;
    h = Math.imul(h ^ (h >>> 16), 0x45d9f3b);
    h = Math.imul(h ^ (h >>> 16), 0x45d9f3b);
    return (h ^ (h >>> 16)) & 255;
  },
  rings(row, column, channel) {
    const dy = 2 * row - 111;
    const dx = 2 * column - 90;
    return ((dx * dx + dy * dy) >> (5 + channel)) & 255;
  },
};

function paint(formula) {
  const pixels = new Uint8Array(inputSize * inputSize * 3);
  for (let i = 0; i < pixels.length; i++) {
    pixels[i] = formula(Math.floor(i / (inputSize * 3)), Math.floor(i / 3) % inputSize, i % 3);
  }
  return pixels;
}

/** The peer's answer. Every number is a float32 printed as the double that it is. */
async function answer(pixels) {
  const net = faceapi.nets.faceExpressionNet;
  const image = tf.tensor3d(new Uint8Array(pixels), [inputSize, inputSize, 3], 'int32');
  const input = await faceapi.toNetInput(image);
  const logits = tf.tidy(() => net.runNet(input));
  const probabilities = net.forwardInput(input);
  const result = {
    sha256: sha256(pixels),
    logits: [...logits.dataSync()],
    probabilities: [...probabilities.dataSync()],
  };
  tf.dispose([image, logits, probabilities]);
  return result;
}

await tf.setBackend('wasm');
await tf.ready();
if (faceapi.tf.getBackend() !== 'wasm')
  throw new Error(`the peer runs on ${faceapi.tf.getBackend()}, not on wasm`);
await faceapi.nets.ssdMobilenetv1.loadFromDisk(modelFolder);
await faceapi.nets.faceExpressionNet.loadFromDisk(modelFolder);

const file = path.join(packageRoot, photograph);
const faces = [];
for (const face of await detectFaces(file)) {
  faces.push({ ...face, ...(await answer(await cropFace(file, face.crop))) });
}
const images = {};
for (const [name, formula] of Object.entries(synthetic)) images[name] = await answer(paint(formula));

const golden = {
  madeBy: 'test/golden/makeExpressions.mjs',
  versions: {
    '@vladmandic/face-api': require('@vladmandic/face-api/package.json').version,
    '@tensorflow/tfjs': tf.version_core,
    backend: tf.getBackend(),
    sharp: sharp.versions.sharp,
    libvips: sharp.versions.vips,
  },
  weightsSha256: sha256(await readFile(path.join(modelFolder, 'face_expression_model.bin'))),
  labels: faceapi.FACE_EXPRESSION_LABELS,
  photograph,
  recipe:
    "crop: the square on the longer side of the SSD detector's box; sharp(photograph).extract(crop)" +
    ".resize(112, 112, { fit: 'fill', kernel: 'linear' }).raw(): RGB bytes, row by row",
  faces,
  synthetic: images,
};
await writeFile(new URL('expressions.json', import.meta.url), `${JSON.stringify(golden, null, 2)}\n`);
for (const { crop, logits } of faces)
  console.log(crop, golden.labels[logits.indexOf(Math.max(...logits))], logits);
for (const [name, { logits }] of Object.entries(images)) console.log(name, logits);
