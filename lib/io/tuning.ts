import { readFileSync } from 'node:fs';
import { check, GroupConvError, show } from '../errors.js';
import { native } from '../native.js';
import { writeAtomically } from './atomicFile.js';

/**
 * Autotuning: where several solvers can do a convolution or a linear layer, time them once and keep to the fastest.
 * Solvers round differently, so that results may differ in their last digits between a tuned and an untuned run, or
 * between two tunings; with a saved tuning they are the same again.
 */

/**
 * While on, a convolution or linear layer that is new (its sizes, dtype and pass, on its device as it is set up) is
 * measured when it first comes: the call waits for the device and takes some 50 ms, on a GPU up to seconds, because
 * cuDNN builds several plans. What there is no memory to measure is not tried again until clearTuning. Off at first.
 * As torch.backends.cudnn.benchmark.
 */
export function setAutotune(on: boolean): void {
  check(
    typeof on === 'boolean',
    'INVALID_ARGUMENT',
    () => `setAutotune: expected true or false, found ${show(on)}`,
  );
  native.setAutotune(on);
}

/** Forgets every choice that was measured or loaded, and what could not be measured. */
export function clearTuning(): void {
  native.clearTuning();
}

const FORMAT = 'groupconv tuning 1';

/** One choice of the file. */
interface Choice {
  op: string;
  /** The device and what decides its speed: the choice holds there only. */
  place: string;
  problem: number[];
  solver: string;
}

/**
 * Writes what was measured or loaded so far to a JSON file, a line per choice. The file appears complete or not at all.
 * cuDNN's plans bring the kernels that it compiled for them: loaded, they are there in a millisecond instead of half a
 * second.
 * @throws INVALID_FILE when it can't be written
 */
export async function saveTuning(path: string): Promise<void> {
  const choices = native
    .tuning()
    .map(([op, place, problem, solver]) => JSON.stringify({ op, place, problem, solver } satisfies Choice));
  const text = `{"format":${JSON.stringify(FORMAT)},"choices":[\n${choices.join(',\n')}\n]}\n`;
  await writeAtomically('saveTuning', path, [new TextEncoder().encode(text)]);
}

const isInt32 = (value: unknown): value is number =>
  Number.isInteger(value) && (value as number) === (value as number) << 0;

function isChoice(value: unknown): value is Choice {
  const { op, place, problem, solver } = (value ?? {}) as Partial<Choice>;
  const words = [op, place, solver].every((word) => typeof word === 'string');
  return words && Array.isArray(problem) && problem.every(isInt32);
}

function parse(text: string): Choice[] {
  const { format, choices } = (JSON.parse(text) ?? {}) as { format?: unknown; choices?: unknown };
  if (format !== FORMAT) throw new Error(`expected format ${FORMAT}, found ${JSON.stringify(format)}`);
  if (!Array.isArray(choices)) throw new Error('choices is not a list');
  for (const [index, choice] of choices.entries())
    if (!isChoice(choice)) throw new Error(`choice ${index} lacks op, place, problem or solver`);
  return choices;
}

/**
 * Takes the choices of a file that saveTuning wrote; they are used whether or not autotuning is on. Those made for
 * another instruction set or number of threads wait until that is in use.
 * Kernels in it are code that runs on the GPU: load files of yours only.
 *
 * @returns how many choices were taken, and how many name an operator or solver that this build lacks
 * @throws INVALID_FILE, and takes nothing, when the file is missing or no tuning
 */
export function loadTuning(path: string): { taken: number; unknown: number } {
  let choices: Choice[];
  try {
    choices = parse(readFileSync(path, 'utf8'));
  } catch (cause) {
    throw new GroupConvError('INVALID_FILE', `loadTuning: ${path}: ${(cause as Error).message}`, { cause });
  }
  let taken = 0;
  for (const { op, place, problem, solver } of choices)
    if (native.addTuning(op, place, problem, solver)) taken++;
  return { taken, unknown: choices.length - taken };
}
