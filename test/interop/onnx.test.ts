// Exported models give the same results in onnxruntime-node, which knows nothing of groupconv.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { exportOnnx, noGrad, tensor } from '../../lib/index.js';
import { values } from '../helpers/gradients.js';
import { close, fillState } from '../helpers/state.js';
import { explainAbsence } from './absence.js';
import { networks } from './networks.js';
import { installation, onnxRuntime, runOnnx } from './onnxruntime.js';

const folder = mkdtempSync(join(tmpdir(), 'groupconv-onnx-'));
test.after.always(() => rmSync(folder, { recursive: true }));

const variants = [
  { foldBatchNorm: false, dynamicBatch: true, opset: 17 },
  { foldBatchNorm: true, dynamicBatch: true, opset: 13 },
  { foldBatchNorm: false, dynamicBatch: false, opset: 21 },
];

for (const [i, { name, build, sample }] of networks.entries())
  test.serial(`${name}: same results in onnxruntime-node, to 1e-5`, async (t) => {
    if (!onnxRuntime) return explainAbsence(t, installation);
    using model = build();
    fillState(t, model, 40_000 + 1000 * i);
    model.eval();
    const path = join(folder, `${i}.onnx`);
    for (const variant of variants) {
      await exportOnnx(model, path, { inputShape: [2, ...sample], ...variant });
      for (const batch of variant.dynamicBatch ? [1, 2, 5] : [2]) {
        const data = values(batch, [batch, ...sample]);
        using x = tensor(data, [batch, ...sample]);
        using y = noGrad(() => model.forward(x as never));
        const found = await runOnnx(onnxRuntime, path, data, x.shape);
        const what = `${JSON.stringify(variant)}, batch ${batch}`;
        t.deepEqual([...found.shape], [...y.shape], what);
        close(t, found.data, await y.data(), 1e-5, what);
      }
    }
  });
