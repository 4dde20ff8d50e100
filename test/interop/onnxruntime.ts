// onnxruntime-node, where it is installed. It is a large package that the library doesn't need, so it has a
// package.json of its own in this folder.

import { createRequire } from 'node:module';
import { whereThere } from './absence.js';

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

export const onnxRuntime = whereThere(() => createRequire(import.meta.url)('onnxruntime-node') as Ort);

/** For a test that lacks it. */
export const installation = 'onnxruntime-node, from `npm install --ignore-scripts` in test/interop';

/** Runs a file's model on one input. */
export async function runOnnx(ort: Ort, path: string, data: Float32Array, shape: readonly number[]) {
  const session = await ort.InferenceSession.create(path);
  const { output } = await session.run({ input: new ort.Tensor('float32', data, shape) });
  await session.release();
  return { data: (output as OrtTensor).data, shape: (output as OrtTensor).dims };
}
