import { noGrad, softmax } from '../../lib/index.js';
import { faceApiFile } from '../faceApi.js';
import { EXPRESSIONS, ExpressionNet, expressionInput } from './expressionNet.js';
import { cropFaces, FACES, type FaceCrop, PHOTOGRAPH } from './faces.js';
import { readManifest } from './manifest.js';

/** Only expressions at least this probable get a line. */
const WORTH_A_LINE = 0.005;
const BAR_WIDTH = 30;

/**
 * Runs face-api's trained facial-expression net, built from groupconv's modules, on the faces of a photograph and
 * prints what it sees.
 *
 * @param print - takes one line of output, for example `console.log`
 */
export async function showExpressions(print: (line: string) => void): Promise<void> {
  const net = new ExpressionNet();
  const weights = await readManifest(faceApiFile('model', 'face_expression_model-weights_manifest.json'));
  net.loadWeights(weights);
  net.eval();
  const images = expressionInput(await cropFaces());

  const start = performance.now();
  const probabilities = noGrad(() => {
    const logits = net.forward(images);
    const result = softmax(logits);
    logits.dispose();
    return result;
  });
  const values = await probabilities.data(); // [faces, expressions]
  const milliseconds = performance.now() - start;

  const trained = [...weights.values()]
    .reduce((sum, { values }) => sum + values.length, 0)
    .toLocaleString('en');
  print(
    `${FACES.length} faces of ${PHOTOGRAPH}, a net of ${trained} trained parameters, ${milliseconds.toFixed(1)} ms`,
  );
  print('face  box                  expressions');
  FACES.forEach((face, row) => {
    const own = values.subarray(row * EXPRESSIONS.length, (row + 1) * EXPRESSIONS.length);
    for (const line of faceLines(row + 1, face, own)) print(line);
  });

  for (const tensor of [images, probabilities]) tensor.dispose();
  net.dispose();
}

/** The lines of one face, the most probable expression first. */
function faceLines(number: number, { left, top, size }: FaceCrop, probabilities: Float32Array): string[] {
  const margin = `${number}`.padStart(4) + `  ${left},${top} ${size}x${size}`.padEnd(23);
  return EXPRESSIONS.map((expression, i) => ({ expression, probability: probabilities[i]! }))
    .sort((a, b) => b.probability - a.probability)
    .filter(({ probability }, rank) => rank === 0 || probability >= WORTH_A_LINE)
    .map(({ expression, probability }, rank) => {
      const percent = `${(probability * 100).toFixed(1)} %`.padStart(8);
      const bar = '█'.repeat(Math.max(1, Math.round(probability * BAR_WIDTH)));
      return `${rank === 0 ? margin : ' '.repeat(margin.length)}${expression.padEnd(10)}${percent}  ${bar}`;
    });
}
