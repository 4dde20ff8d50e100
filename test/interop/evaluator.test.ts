// What exported files mean, by an evaluator of the tests' own: on every machine, whatever else is installed there.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { exportOnnx, noGrad, tensor } from '../../lib/index.js';
import { values } from '../helpers/gradients.js';
import { evaluate } from '../helpers/onnxEvaluator.js';
import { readOnnx } from '../helpers/onnxFile.js';
import { close, fillState } from '../helpers/state.js';
import { networks } from './networks.js';

const folder = mkdtempSync(join(tmpdir(), 'groupconv-onnx-'));
test.after.always(() => rmSync(folder, { recursive: true }));

for (const [i, { name, build, sample }] of networks.filter(({ large }) => !large).entries())
  test.serial(`${name}: the file means what the model computes, to 1e-5`, async (t) => {
    using model = build();
    fillState(t, model, 70_000 + 1000 * i);
    model.eval();
    const path = join(folder, `${i}.onnx`);
    const small = sample.map((extent) => Math.min(extent, 33));
    for (const foldBatchNorm of [false, true]) {
      await exportOnnx(model, path, { inputShape: [1, ...small], foldBatchNorm });
      const shape = [foldBatchNorm ? 2 : 1, ...small];
      const data = values(80_000 + i, shape);
      using x = tensor(data, shape);
      using y = noGrad(() => model.forward(x as never));
      const found = evaluate(readOnnx(path), { shape, data: Float64Array.from(data) });
      t.deepEqual(found.shape, [...y.shape]);
      close(t, y.dataSync(), found.data, 1e-5, foldBatchNorm ? 'folded' : 'plain');
    }
  });
