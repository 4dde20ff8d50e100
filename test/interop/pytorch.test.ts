// State dicts go to PyTorch through safetensors and come back, and give the same logits on both sides.

import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import test from 'ava';
import {
  loadSafetensors,
  type Module,
  mobilenet_v1,
  mobilenet_v2,
  mobilenet_v3_large,
  mobilenet_v3_small,
  noGrad,
  ResNeXt,
  resnext50_32x4d,
  type StateSource,
  saveSafetensors,
  scope,
  seresnext50_32x4d,
  type Tensor,
  type Tensor4D,
  tensor,
  torchvisionState,
} from '../../lib/index.js';
import { values } from '../helpers/gradients.js';
import { close, fillState } from '../helpers/state.js';
import { explainAbsence, whereThere } from './absence.js';

const python = process.env.GROUPCONV_PYTHON ?? 'python3';
const script = fileURLToPath(new URL('round_trip.py', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'groupconv-torch-'));
test.after.always(() => rmSync(folder, { recursive: true }));

interface Net {
  build(): Module;
  /** What PyTorch calls its entries. */
  state(model: Module): StateSource;
  shape: readonly [number, number, number, number];
}
const own = (model: Module) => model.stateDict();
const torchvision = (build: () => Module): Net => ({
  build,
  state: (model) => torchvisionState(model.stateDict()),
  shape: [2, 3, 64, 64],
});
const nets: Record<string, Net> = {
  resnext50_32x4d: torchvision(resnext50_32x4d),
  seresnext50_32x4d: torchvision(seresnext50_32x4d),
  mobilenet_v2: torchvision(() => mobilenet_v2()),
  mobilenet_v3_large: torchvision(() => mobilenet_v3_large()),
  mobilenet_v3_small: torchvision(() => mobilenet_v3_small()),
  mobilenet_v1: { build: mobilenet_v1, state: own, shape: [2, 3, 64, 64] },
  resnext_small: {
    build: () =>
      new ResNeXt({
        blockRepeats: [
          [16, 1],
          [32, 2],
        ],
        cardinality: 4,
        numClasses: 7,
      }),
    state: own,
    shape: [3, 3, 37, 41],
  },
};

const pytorch = whereThere(() =>
  execFileSync(python, ['-c', 'import torch, torchvision, safetensors.torch'], { stdio: 'pipe' }),
);

const logitsOf = (model: Module, x: Tensor4D) => scope(() => noGrad(() => model.forward(x)));

test.serial('weights to PyTorch and back: the same logits to 1e-5', async (t) => {
  if (!pytorch)
    return explainAbsence(
      t,
      `torch, torchvision and safetensors in ${python}; GROUPCONV_PYTHON names another`,
    );
  for (const [name, { build, state, shape }] of Object.entries(nets)) {
    using model = build().eval();
    fillState(t, model, 50_000);
    using x = tensor(values(60_000, shape), shape);
    using logits = logitsOf(model, x);
    await saveSafetensors(join(folder, `${name}.safetensors`), state(model));
    await saveSafetensors(join(folder, `${name}.case.safetensors`), { x, logits });
  }
  t.log(execFileSync(python, [script, folder], { encoding: 'utf8' }).trim());
  for (const [name, { build }] of Object.entries(nets)) {
    using model = build().eval();
    scope(() => model.loadStateDict(loadSafetensors(join(folder, `${name}.torch.safetensors`))));
    const wanted = loadSafetensors(join(folder, `${name}.torch.case.safetensors`)) as Map<string, Tensor>;
    using logits = logitsOf(model, wanted.get('x') as Tensor4D);
    close(t, logits.dataSync(), wanted.get('logits')!.dataSync(), 1e-5, `${name} from PyTorch`);
    for (const entry of wanted.values()) entry.dispose();
  }
});
