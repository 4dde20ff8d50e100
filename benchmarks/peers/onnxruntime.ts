/** onnxruntime-node as a contender: inference of a network that was exported to an ONNX file. */
import { createRequire } from 'node:module';
import { hashed } from '../../test/golden/golden.js';
import { type Answer, probeOf, type Request, serve, timed } from './protocol.js';

/** What is used of onnxruntime-node, which is not installed with the development tools. */
interface OnnxRuntime {
  env: { versions: { node?: string; common: string } };
  Tensor: new (dtype: 'float32', data: Float32Array, shape: number[]) => unknown;
  InferenceSession: { create(file: string, options: object): Promise<Session> };
}
interface Session {
  readonly inputNames: string[];
  readonly outputNames: string[];
  run(feeds: Record<string, unknown>): Promise<Record<string, { data: Float32Array }>>;
  release(): Promise<void>;
}

const { InferenceSession, Tensor, env }: OnnxRuntime = createRequire(import.meta.url)('onnxruntime-node');

let threads = 1;
let session: Session | undefined;
let run: (() => Promise<Float32Array>) | undefined;

await serve(async (request: Request): Promise<Answer> => {
  if (request.command === 'describe') {
    threads = request.threads;
    return { version: env.versions.node ?? env.versions.common };
  }
  if (request.command === 'prepare' && request.work === 'inference') {
    await session?.release();
    const current = await InferenceSession.create(request.file, {
      intraOpNumThreads: threads,
      interOpNumThreads: 1,
      graphOptimizationLevel: 'all',
    });
    session = current;
    const [input, output] = [current.inputNames[0] as string, current.outputNames[0] as string];
    const shape = [request.n, 3, request.size, request.size];
    const size = shape.reduce((product, extent) => product * extent, 1);
    const feeds = { [input]: new Tensor('float32', hashed(request.input, size), shape) };
    run = async () => (await current.run(feeds))[output]!.data;
    await run();
    return { probe: probeOf(await run()) };
  }
  if (request.command === 'run' && run) return { samples: await timed(run, request) };
  throw new Error(`onnxruntime-node can't ${request.command} this`);
});
