import { type DType, dtypeCode } from './dtype.js';
import { check, show } from './errors.js';
import { type DeviceIndex, type Handle, native } from './native.js';
import { Storage } from './storage.js';

/**
 * Reverse-mode differentiation over a graph that its outputs hold: a node lives as long as its tensor or a later
 * node needs it, and holds what its operator saved. There is no global tape.
 */

/** What a tensor's gradient is like: it has its shape and its dtype, and lies on its device. */
export interface Like {
  readonly shape: readonly number[];
  readonly dtype: DType;
  readonly deviceIndex: DeviceIndex;
}

/** @internal Storage without contents yet. */
export function emptyLike({ deviceIndex, shape, dtype }: Like): Storage {
  return new Storage(native.empty(deviceIndex, shape, dtypeCode(dtype)));
}

/** Gathers the gradient of one input while backward runs. */
export class GradSlot {
  #storage: Storage | null = null;
  /** The storage is somebody's, too: adding to it needs a copy. */
  #borrowed = false;

  constructor(
    readonly like: Like,
    initial: Storage | null = null,
  ) {
    this.#storage = initial;
  }

  get storage(): Storage | null {
    return this.#storage;
  }

  /** Where a backward operator writes: `[target, accumulate]`, to be spread into its arguments. */
  target(): [Handle, boolean] {
    if (!this.#storage) {
      this.#storage = emptyLike(this.like);
      return [this.#storage.handle, false];
    }
    this.#own();
    return [this.#storage.handle, true];
  }

  /** The upstream gradient passes through unchanged: shared if it is the first to arrive, else added. */
  pass(dy: Storage): void {
    if (!this.#storage) {
      this.#storage = dy.retain();
      this.#borrowed = true;
      return;
    }
    this.#own();
    native.accumulate(this.#storage.handle, dy.handle);
  }

  #own(): void {
    if (!this.#borrowed || !this.#storage) return;
    const copy = new Storage(native.clone(this.#storage.handle));
    this.#storage.release();
    this.#storage = copy;
    this.#borrowed = false;
  }
  /** Hands the gradient over, as storage of the receiver's own. */
  take(): Storage | null {
    this.#own();
    const taken = this.#storage;
    this.#storage = null;
    return taken;
  }
  release(): void {
    this.#storage?.release();
    this.#storage = null;
  }
}

/**
 * Computes the inputs' gradients from the output's. A slot is null where no gradient is wanted. Every wanted slot is
 * given exactly one `target()` or `pass()` per call, or more.
 */
export type Backward = (dy: Storage, slots: readonly (GradSlot | null)[]) => void;

/** A tensor that gathers a gradient in `.grad`. */
export interface Leaf extends Like {
  readonly disposed: boolean;
  /** Storage of the present `.grad`, to be added to. */
  gradStorage(): Storage | null;
  setGrad(storage: Storage): void;
}

/** To what takes an input's gradient; null where none is wanted. */
export type Edge = { node: GradNode } | { leaf: Leaf } | null;

interface Saved {
  storage: Storage;
  version: number;
}

export class GradNode {
  #holders = 1;
  #saved: Saved[] | null = [];
  backward: Backward | null = null;

  /** Its output's, without the output: that must be free to go. */
  readonly like: Like;

  constructor(
    readonly name: string,
    { shape, dtype, deviceIndex }: Like,
    readonly edges: readonly Edge[],
  ) {
    this.like = { shape, dtype, deviceIndex };
    for (const edge of edges) if (edge && 'node' in edge) edge.node.retain();
  }

  get freed(): boolean {
    return this.#saved === null;
  }
  /** Keeps a storage until backward has run or the graph is let go. */
  save(storage: Storage): Storage {
    this.#saved?.push({ storage: storage.retain(), version: storage.version });
    return storage;
  }
  checkSaved(): void {
    check(
      !this.freed,
      'INVALID_ARGUMENT',
      'backward: the graph has been freed, by an earlier backward or dispose',
    );
    for (const { storage, version } of this.#saved ?? [])
      check(
        storage.version === version,
        'INVALID_ARGUMENT',
        () => `backward: a tensor that ${this.name} needs was changed in place after the forward pass`,
      );
  }
  retain(): void {
    this.#holders++;
  }
  release(): void {
    // Iterative: a deep chain of nodes must not exhaust the stack.
    const pending: GradNode[] = [this];
    for (let node = pending.pop(); node; node = pending.pop()) {
      if (--node.#holders > 0) continue;
      node.free();
      for (const edge of node.edges) if (edge && 'node' in edge) pending.push(edge.node);
    }
  }
  /** Lets go of what was saved. */
  free(): void {
    for (const { storage } of this.#saved ?? []) storage.release();
    this.#saved = null;
    this.backward = null;
  }
}

let recording = true;

/** Whether operators record what backward needs. */
export function isRecording(): boolean {
  return recording;
}

const AsyncFunction = (async () => {}).constructor;

/**
 * Runs `fn` without recording anything for backward: inference, metrics, updates.
 * @throws INVALID_ARGUMENT when `fn` is an async function: what follows its first `await` would be recorded again
 */
export function noGrad<T>(fn: () => T): T {
  check(
    typeof fn === 'function' && !(fn instanceof AsyncFunction),
    'INVALID_ARGUMENT',
    () => `noGrad: expected a synchronous function, found ${show(fn)}; await outside of it`,
  );
  const before = recording;
  recording = false;
  try {
    return fn();
  } finally {
    recording = before;
  }
}

/** Nodes reachable from the root, each with the number of edges that lead to it. */
function countConsumers(root: GradNode): Map<GradNode, number> {
  const consumers = new Map<GradNode, number>([[root, 0]]);
  const pending = [root];
  for (let node = pending.pop(); node; node = pending.pop())
    for (const edge of node.edges) {
      if (!edge || !('node' in edge)) continue;
      const seen = consumers.get(edge.node);
      if (seen === undefined) pending.push(edge.node);
      consumers.set(edge.node, (seen ?? 0) + 1);
    }
  return consumers;
}

/** Runs the graph backwards from `root`, whose output has the gradient `dy`, and frees it. */
export function runBackward(root: GradNode, dy: Storage): void {
  const consumers = countConsumers(root);
  for (const node of consumers.keys()) node.checkSaved();
  const slots = new Map<GradNode, GradSlot>([[root, new GradSlot(root.like, dy.retain())]]);
  const leaves = new Map<Leaf, GradSlot>();
  const slotOf = (edge: Edge): GradSlot | null => {
    if (!edge) return null;
    if ('leaf' in edge) {
      const { leaf } = edge;
      if (leaf.disposed) return null;
      const known = leaves.get(leaf);
      if (known) return known;
      const slot = new GradSlot(leaf, leaf.gradStorage()?.retain() ?? null);
      leaves.set(leaf, slot);
      return slot;
    }
    const known = slots.get(edge.node);
    if (known) return known;
    const slot = new GradSlot(edge.node.like);
    slots.set(edge.node, slot);
    return slot;
  };
  const ready = [root];
  try {
    for (let node = ready.pop(); node; node = ready.pop()) {
      const slot = slots.get(node);
      // A slot without storage: no gradient reaches this node.
      if (slot?.storage) node.backward?.(slot.storage, node.edges.map(slotOf));
      slot?.release();
      slots.delete(node);
      node.free();
      for (const edge of node.edges) {
        if (!edge || !('node' in edge)) continue;
        const left = (consumers.get(edge.node) ?? 0) - 1;
        consumers.set(edge.node, left);
        if (left === 0) ready.push(edge.node);
      }
    }
    for (const [leaf, slot] of leaves) {
      const gradient = slot.take();
      if (gradient) leaf.setGrad(gradient);
    }
  } finally {
    // What is left when an operator failed, as for want of memory.
    for (const slot of [...slots.values(), ...leaves.values()]) slot.release();
  }
}
