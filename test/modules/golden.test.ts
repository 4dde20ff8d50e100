/** Blocks against PyTorch: outputs, gradients, running statistics, without and with fusion. */
import test from 'ava';
import {
  Bottleneck,
  DepthwiseSeparable,
  InvertedResidual,
  type Module,
  memory,
  noGrad,
  SqueezeExcitation,
  type Tensor4D,
  tensor,
} from '../../lib/index.js';
import { type GoldenInput, hashedInput, loadCases, loadGolden } from '../golden/golden.js';
import { settled } from '../helpers/memory.js';
import { close, fillState } from '../helpers/state.js';

test.serial.beforeEach(settled); // what earlier tests forgot is not to vanish while memory is compared

type Block = new (...sizes: [number, number, object]) => Module<Tensor4D, Tensor4D>;
const blocks = { Bottleneck, DepthwiseSeparable, SqueezeExcitation, InvertedResidual } as unknown as Record<
  string,
  Block
>;

interface Case {
  id: number;
  module: string;
  arguments: [number, number];
  options: object;
  training: boolean;
  x: GoldenInput;
  dy: GoldenInput;
  state: number;
  entries: [string, number[]][];
  zeroGradients: string[];
}

const golden = loadGolden('modules');
const make = (spec: GoldenInput) => tensor(hashedInput(spec), spec.shape) as Tensor4D;

for (const c of loadCases<Case[]>('modules'))
  test.serial(
    `${c.id}: ${c.module}(${c.arguments}) ${JSON.stringify(c.options)}${c.training ? '' : ' eval'}`,
    (t) => {
      const expected = (key: string) => golden.get(`${c.id}.${key}`)?.data ?? [];
      const start = memory().bytes;
      const module = new (blocks[c.module] as Block)(...c.arguments, c.options);
      fillState(t, module, c.state, c.entries);
      module.train(c.training);
      const x = make(c.x);
      const dy = make(c.dy);
      const before = memory().bytes;

      x.requiresGrad = true;
      const y = module.forward(x);
      close(t, y.dataSync(), expected('y'), 2e-6, 'y');
      y.backward(dy);
      close(t, x.grad?.dataSync() ?? [], expected('dx'), 5e-6, 'dx');
      const named = [...module.stateDict().values()];
      for (const [i, [key]] of c.entries.entries()) {
        const entry = named[i];
        if (/running/.test(key) && c.training) close(t, entry?.dataSync() ?? [], expected(key), 2e-6, key);
        if (/num_batches/.test(key)) t.is(entry?.item(), c.training ? 1 : 0);
        if (!/weight|bias/.test(key)) continue;
        const gradient = entry?.grad?.dataSync() ?? Float32Array.of(Number.NaN);
        if (c.zeroGradients.includes(key)) t.true(Math.hypot(...gradient) < 1e-4, key);
        else close(t, gradient, expected(`d.${key}`), 5e-6, `gradient of ${key}`);
      }
      y.dispose();
      module.zeroGrad();
      x.grad = null;
      t.is(memory().bytes, before, 'memory after backward');

      if (!c.training) {
        const fused = noGrad(() => module.forward(x));
        close(t, fused.dataSync(), expected('y'), 2e-6, 'y, fused');
        fused.dispose();
        t.is(memory().bytes, before, 'memory after inference');
      }
      for (const owned of [x, dy, module]) owned.dispose();
      t.is(memory().bytes, start, 'memory after dispose');
    },
  );
