import { pulseSeconds } from './plan.js';

/** Says something every few seconds while it runs, so that nobody takes a long wait for a dead process. */
export async function withPulse<T>(what: string, run: () => Promise<T>): Promise<T> {
  const timer = setInterval(() => console.log(`… ${what}`), pulseSeconds * 1000);
  timer.unref(); // it speaks for work, and is none
  try {
    return await run();
  } finally {
    clearInterval(timer);
  }
}
