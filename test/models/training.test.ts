/** Five training steps of small networks follow PyTorch's losses, and end in its weights. */
import test from 'ava';
import {
  AdaptiveAvgPool2d,
  BatchNorm2d,
  Conv2d,
  crossEntropy,
  DepthwiseSeparable,
  Flatten,
  Linear,
  type Module,
  memory,
  optim,
  ReLU,
  ResNeXt,
  Sequential,
  type Tensor2D,
  type Tensor4D,
  tensor,
} from '../../lib/index.js';
import { type GoldenInput, hashedInput, loadCases, loadGolden } from '../golden/golden.js';
import { settled } from '../helpers/memory.js';
import { close, fillState } from '../helpers/state.js';

test.serial.beforeEach(settled); // what earlier tests forgot is not to vanish while memory is compared

interface SeparableOptions {
  stem: number;
  stemStride: number;
  blocks: [number, number][];
  classes: number;
}
interface Run {
  id: number;
  network: 'ResNeXt' | 'separable';
  options: object;
  optimizer: { name: 'SGD' | 'AdamW'; lr: number };
  labelSmoothing: number;
  x: GoldenInput;
  labels: number[];
  state: number;
  steps: number;
  entries: [string, number[]][];
  finals: [string, number][];
}

function separable({ stem, stemStride, blocks, classes }: SeparableOptions): Module {
  const channels = [stem, ...blocks.map(([outChannels]) => outChannels)];
  return new Sequential<Tensor4D, Tensor2D>(
    new Conv2d(3, stem, 3, { stride: stemStride, padding: 1, bias: false }),
    new BatchNorm2d(stem),
    new ReLU(),
    ...blocks.map(
      ([outChannels, stride], i) => new DepthwiseSeparable(channels[i] as number, outChannels, { stride }),
    ),
    new AdaptiveAvgPool2d(1),
    new Flatten(),
    new Linear(channels.at(-1) as number, classes),
  );
}

const golden = loadGolden('training');

for (const run of loadCases<Run[]>('training'))
  test.serial(
    `${run.id}: ${run.network}, ${run.optimizer.name}, label smoothing ${run.labelSmoothing}`,
    (t) => {
      const { name, ...options } = run.optimizer;
      const start = memory().bytes;
      const model =
        run.network === 'ResNeXt' ? new ResNeXt(run.options) : separable(run.options as SeparableOptions);
      fillState(t, model, run.state, run.entries);
      const optimizer = new optim[name](model.parameters(), options);
      const x = tensor(hashedInput(run.x), run.x.shape) as Tensor4D;
      const labels = tensor(Int32Array.from(run.labels));
      const losses = Array.from({ length: run.steps }, () => {
        const logits = model.forward(x) as Tensor2D;
        const loss = crossEntropy(logits, labels, { labelSmoothing: run.labelSmoothing });
        optimizer.zeroGrad();
        loss.backward();
        optimizer.step();
        const value = loss.item();
        for (const owned of [logits, loss]) owned.dispose();
        return value;
      });
      const expected = golden.get(`${run.id}.losses`)?.data ?? [];
      t.log(losses.map((loss, i) => (loss / (expected[i] ?? Number.NaN) - 1).toExponential(1)).join(' '));
      for (const [i, loss] of losses.entries())
        close(t, [loss], [expected[i] ?? Number.NaN], 1e-5, `loss ${i}`);
      const state = [...model.stateDict().values()];
      for (const [key, index] of run.finals)
        close(
          t,
          state[index]?.dataSync() ?? [],
          golden.get(`${run.id}.${key}`)?.data ?? [],
          name === 'SGD' ? 1e-5 : 2e-4,
          `final ${key}`,
        );
      for (const owned of [x, labels, model]) owned.dispose();
      if ('dispose' in optimizer) (optimizer as { dispose(): void }).dispose();
      t.is(memory().bytes, start);
    },
  );
