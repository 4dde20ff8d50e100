// onnxruntime-node, where it is installed. It is a large package that the library doesn't need, so it has a
// package.json of its own in this folder.

import { createRequire } from 'node:module';
import type { ExecutionContext } from 'ava';

interface Ort {
  InferenceSession: { create(path: string): Promise<Session> };
  Tensor: new (type: 'float32', data: Float32Array, shape: readonly number[]) => OrtTensor;
}
interface OrtTensor {
  readonly data: Float32Array;
  readonly dims: readonly number[];
}
interface Session {
  run(inputs: Record<string, OrtTensor>): Promise<Record<string, OrtTensor>>;
  release(): Promise<void>;
}

/** Set where a missing program is a failure, as in CI. */
const required = process.env.GROUPCONV_INTEROP === 'required';

export function loadOnnxRuntime(): Ort | null {
  try {
    return createRequire(import.meta.url)('onnxruntime-node') as Ort;
  } catch (error) {
    if (required) throw error;
    return null;
  }
}

/** Says why a test has nothing to show. */
export function explainAbsence(t: ExecutionContext): void {
  t.log('skipped: needs onnxruntime-node, from `npm install --prefix test/interop --ignore-scripts`');
  t.pass();
}

/** Runs a file's model on one input. */
export async function runOnnx(ort: Ort, path: string, data: Float32Array, shape: readonly number[]) {
  const session = await ort.InferenceSession.create(path);
  const { output } = await session.run({ input: new ort.Tensor('float32', data, shape) });
  await session.release();
  return { data: (output as OrtTensor).data, shape: (output as OrtTensor).dims };
}
