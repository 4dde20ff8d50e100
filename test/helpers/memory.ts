import { type MemoryInfo, memory } from '../../lib/index.js';

/** Memory once what earlier tests forgot has been collected. */
export async function settled(): Promise<MemoryInfo> {
  for (let i = 0; i < 3; i++) {
    globalThis.gc?.();
    await new Promise((resolve) => setImmediate(resolve));
  }
  return memory();
}
