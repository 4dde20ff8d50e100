import type { ExecutionContext } from 'ava';
import { type Shape, type Tensor, tensor } from '../../lib/index.js';
import { type GoldenInput, hashedInput, loadCases, loadGolden, relativeError } from '../golden/golden.js';

interface OpCase {
  id: number;
  op: string;
  options: Record<string, unknown>;
  inputs: Record<string, GoldenInput>;
  dy?: GoldenInput;
}

const cases = loadCases<OpCase[]>('ops');
const golden = loadGolden('ops');

export type Forward = (inputs: Record<string, Tensor>, options: never) => Tensor<Shape>;

/**
 * Runs one operator's golden cases, forward and backward, against PyTorch's float64 results: y to 1e-6, gradients to
 * 1e-5. `buffers` are inputs without a gradient; what the step left in them is compared, too.
 */
export function checkGoldenOp(
  t: ExecutionContext,
  op: string,
  forward: Forward,
  buffers: string[] = [],
): void {
  const own = cases.filter((one) => one.op === op);
  t.true(own.length > 0);
  for (const { id, options, inputs: specs, dy } of own) {
    const inputs = Object.fromEntries(
      Object.entries(specs).map(([name, spec]) => [
        name,
        tensor(hashedInput(spec), spec.shape, { requiresGrad: !buffers.includes(name) }),
      ]),
    );
    const y = forward(inputs, options as never);
    const compare = (name: string, actual: Tensor | null | undefined, tolerance: number) => {
      const expected = golden.get(`${id}.${name}`);
      if (!expected) return;
      const error = actual ? relativeError(actual.dataSync(), expected.data as Float32Array) : Number.NaN;
      t.true(error <= tolerance, `${op} ${id} ${JSON.stringify(options)} ${name}: error ${error}`);
    };
    t.deepEqual([...y.shape], [...(golden.get(`${id}.y`)?.shape ?? [])]);
    compare('y', y, 1e-6);
    const gradient = dy && tensor(hashedInput(dy), dy.shape);
    y.backward(gradient);
    for (const [name, input] of Object.entries(inputs)) {
      if (buffers.includes(name)) compare(name, input, 1e-6);
      else compare(`d${name}`, input.grad, 1e-5);
      input.dispose();
    }
    y.dispose();
    gradient?.dispose();
  }
}
