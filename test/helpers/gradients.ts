import { type Shape, type Tensor, tensor } from '../../lib/index.js';
import { hashed } from '../golden/golden.js';

const sizeOf = (shape: Shape) => shape.reduce((product, extent) => product * extent, 1);

/** Values in [-scale, scale) that repeat. */
export function values(seed: number, shape: Shape, scale = 1): Float32Array {
  return hashed(seed, sizeOf(shape)).map((value) => value * scale);
}

export function dot(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
}

/** |<f(v), u> - <v, f^T(u)>| / (|f(v)| |u|) for a linear f: zero for the right gradient, whatever the shape. */
export function adjointError<S extends Shape>(f: (x: Tensor<S>) => Tensor, shape: S, seed = 1): number {
  const v = values(seed, shape);
  const x = tensor(v, shape, { requiresGrad: true }) as Tensor<S>;
  const y = f(x);
  const u = values(seed + 1, y.shape);
  const forward = y.dataSync();
  y.backward(tensor(u, y.shape));
  const difference = dot(forward, u) - dot(v, x.grad!.dataSync());
  return Math.abs(difference) / Math.sqrt(dot(forward, forward) * dot(u, u));
}

/**
 * Compares <gradient, direction> with the central difference of <f, u> along a random direction through all inputs;
 * relative to the size of the gradient times that of the direction.
 */
export function directionalError(
  f: (...inputs: Tensor<never>[]) => Tensor,
  shapes: readonly Shape[],
  { step = 1e-2, seed = 1, scale = 1 } = {},
): number {
  const points = shapes.map((shape, i) => values(seed + i, shape, scale));
  const directions = shapes.map((shape, i) => values(seed + 100 + i, shape));
  const at = (distance: number) => {
    const inputs = shapes.map((shape, i) =>
      tensor(
        points[i]!.map((value, j) => value + distance * directions[i]![j]!),
        shape,
        { requiresGrad: distance === 0 },
      ),
    );
    return { inputs, y: f(...(inputs as unknown as Tensor<never>[])) };
  };
  const { inputs, y } = at(0);
  const u = values(seed + 200, y.shape);
  y.backward(tensor(u, y.shape));
  const gradients = inputs.map((input) => input.grad!.dataSync());
  const analytic = gradients.reduce((sum, gradient, i) => sum + dot(gradient, directions[i]!), 0);
  const numeric = (dot(at(step).y.dataSync(), u) - dot(at(-step).y.dataSync(), u)) / (2 * step);
  const size = Math.sqrt(
    gradients.reduce((sum, gradient) => sum + dot(gradient, gradient), 0) *
      directions.reduce((sum, direction) => sum + dot(direction, direction), 0),
  );
  return Math.abs(analytic - numeric) / size;
}
