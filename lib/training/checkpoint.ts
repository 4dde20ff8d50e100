import { readdirSync, rmSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import type { DataLoader, LoaderState } from '../data/dataLoader.js';
import type { DType } from '../dtype.js';
import { check, GroupConvError } from '../errors.js';
import { loadSafetensors, readSafetensorsMetadata, saveSafetensors } from '../io/safetensors.js';
import type { Module } from '../module.js';
import type { GradScaler, GradScalerState } from '../optim/gradScaler.js';
import type { Optimizer } from '../optim/optimizer.js';
import { getRandomState, type RandomState, setRandomState } from '../random.js';
import type { Shape, Tensor } from '../tensor.js';
import type { EMA } from './ema.js';

/**
 * A checkpoint is one safetensors file: the tensors of the model (`model.…`), the optimiser (`optimizer.…`) and the
 * average (`ema.…`), and everything else as JSON in its header. One file, renamed into its place, is either the old
 * checkpoint or the new one, whenever the process dies.
 */

const KEY = 'groupconv.checkpoint';
const VERSION = 1;

/** What takes part in training and has a state. */
export interface TrainingParts {
  readonly model: Module;
  readonly optimizer: Optimizer;
  readonly scaler?: GradScaler | undefined;
  readonly ema?: EMA | undefined;
  /** The loaders whose position is kept. */
  readonly loaders?: readonly DataLoader[];
}

interface Header {
  version: number;
  random: RandomState;
  scaler?: GradScalerState;
  loaders: LoaderState[];
  progress: unknown;
}

type AnyState = Map<string, Tensor<Shape, DType>>;

const parts = ['model', 'optimizer', 'ema'] as const;

/**
 * Writes the state of a training to a file that appears complete or not at all: weights, optimiser, scaler, average, the
 * random generator, the loaders' positions, and whatever else `progress` says, as JSON. Values are those at the time of
 * the call.
 *
 * @throws INVALID_FILE when it can't be written, and what led to the tensors' failure
 */
export async function saveCheckpoint(
  path: string,
  training: TrainingParts,
  progress: unknown,
): Promise<void> {
  const { model, optimizer, scaler, ema, loaders = [] } = training;
  const steps = optimizer.stateDict();
  const states = { model: model.stateDict(), optimizer: steps as AnyState, ema: ema?.stateDict() };
  const all: AnyState = new Map();
  for (const part of parts) for (const [key, value] of states[part] ?? []) all.set(`${part}.${key}`, value);
  const header: Header = {
    version: VERSION,
    random: getRandomState(),
    ...(scaler && { scaler: scaler.state() }),
    loaders: loaders.map((loader) => loader.state()),
    progress,
  };
  try {
    await saveSafetensors(path, all, { metadata: { [KEY]: JSON.stringify(header) } });
  } finally {
    for (const copy of steps.values()) copy.dispose();
  }
}

function parse(path: string, loaders: number): Header {
  const text = readSafetensorsMetadata(path)[KEY];
  const fail = (what: string) => new GroupConvError('INVALID_FILE', `loadCheckpoint: ${path}: ${what}`);
  if (text === undefined) throw fail('a safetensors file, but no checkpoint');
  let header: Header;
  try {
    header = JSON.parse(text) as Header;
  } catch (cause) {
    throw fail(`the header's ${KEY} is not JSON: ${(cause as Error).message}`);
  }
  if (header?.version !== VERSION)
    throw fail(`version ${header?.version} of checkpoints, ${VERSION} can be read`);
  if (!Array.isArray(header.loaders) || header.loaders.length !== loaders || !header.random)
    throw fail(`the state of ${header.loaders?.length} loaders, ${loaders} are needed`);
  return header;
}

/**
 * Goes on from a checkpoint: everything has the state it had when it was written. On an error some of it may have
 * changed already.
 *
 * @returns `progress`, as it was given to {@link saveCheckpoint}
 * @throws INVALID_FILE when it is missing, broken or no checkpoint; INVALID_ARGUMENT, INVALID_SHAPE when it is of
 *   another training
 */
export function loadCheckpoint(path: string, training: TrainingParts): unknown {
  const { model, optimizer, scaler, ema, loaders = [] } = training;
  const header = parse(path, loaders.length);
  const all = loadSafetensors(path);
  try {
    const stateOf = (part: string): AnyState =>
      new Map(
        [...all]
          .filter(([key]) => key.startsWith(`${part}.`))
          .map(([key, value]) => [key.slice(part.length + 1), value]),
      );
    const average = stateOf('ema');
    check(
      ema !== undefined || average.size === 0,
      'INVALID_ARGUMENT',
      () => `loadCheckpoint: ${path} has an average of the weights, this training keeps none`,
    );
    check((scaler === undefined) === (header.scaler === undefined), 'INVALID_ARGUMENT', () =>
      header.scaler
        ? `loadCheckpoint: ${path} has the state of a scaler, this training has none`
        : `loadCheckpoint: ${path} is of a training without a scaler, this one has one`,
    );
    model.loadStateDict(stateOf('model'));
    ema?.loadStateDict(average);
    optimizer.loadStateDict(stateOf('optimizer') as Parameters<Optimizer['loadStateDict']>[0]);
    for (const [i, loader] of loaders.entries()) loader.loadState(header.loaders[i] as LoaderState);
    if (header.scaler) scaler?.loadState(header.scaler);
    setRandomState(header.random);
  } finally {
    for (const tensor of all.values()) tensor.dispose();
  }
  return header.progress;
}

/** Removes what processes that died while writing this checkpoint have left in its folder. @internal */
export function removeLeftovers(path: string): void {
  const folder = dirname(path);
  const begin = `.${basename(path)}.`;
  for (const name of readdirSync(folder))
    if (name.startsWith(begin) && name.endsWith('.tmp')) rmSync(join(folder, name), { force: true });
}
