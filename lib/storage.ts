import { type Handle, native } from './native.js';
import { noteWrite } from './recording.js';

/**
 * A native tensor with a count of its holders: the tensors that show it and the graph nodes that saved it. The
 * native side lets go of the memory with the last holder; what is merely forgotten, the garbage collector finds.
 */
export class Storage {
  #holders = 1;
  #version = 0;

  constructor(readonly handle: Handle) {}

  /** Raised by every in-place write, so that backward notices when a saved value has changed. */
  get version(): number {
    return this.#version;
  }
  set version(value: number) {
    this.#version = value;
    noteWrite(this);
  }
  get shared(): boolean {
    return this.#holders > 1;
  }
  retain(): this {
    this.#holders++;
    return this;
  }
  release(): void {
    if (--this.#holders === 0) native.release(this.handle);
  }
  /** For `using`: this scope is one of the holders. */
  [Symbol.dispose](): void {
    this.release();
  }
}
