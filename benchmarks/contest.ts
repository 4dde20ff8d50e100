/** Times contenders at the same work in turns, so that whatever the machine does meanwhile meets all of them. */
import type { Contender } from './contenders.js';
import { bestPeak, measurePeak } from './machine.js';
import { Peer } from './peer.js';
import type { Work } from './peers/protocol.js';
import { noise, relativeError, type Summary, summarise } from './statistics.js';

export interface Entrant {
  contender: Contender;
  peer: Peer;
  version: string;
  /** Why it can't take part. */
  failure: string | null;
}

export interface ContestOptions {
  threads: number;
  rounds: number;
  /** Of each contender in each round. */
  seconds: number;
  /** How often a noisy measurement is made again. */
  retries: number;
  /** Multiply-adds, times two: what all contenders have to do, however they do it. */
  flop: number;
  /** The largest relative difference from groupconv's result that counts as the same. */
  tolerance: number;
}

export interface Result extends Summary {
  contender: string;
  /** The solver or implementation that was chosen. */
  detail: string;
  /** In seconds, in the order of the runs. */
  samples: number[];
  /** Of the multiply-add peak measured in every round, in percent. */
  percentOfPeak: number;
  /** This contender's least time over groupconv's: how many times as fast groupconv is. */
  ratio: number;
  /** Relative difference of the result from groupconv's. */
  error: number;
  /** The most memory that the process had resident while it was timed, in bytes. */
  residentBytes: number | null;
  noise: string | null;
  /** Why there are no times. */
  failure: string | null;
}

/** Starts a process for each contender that is installed. */
export async function enter(contenders: readonly Contender[], threads: number): Promise<Entrant[]> {
  const entrants: Entrant[] = [];
  for (const contender of contenders) {
    if (!contender.program) continue;
    const entrant: Entrant = { contender, peer: new Peer(contender.program), version: '', failure: null };
    entrants.push(entrant);
    try {
      entrant.version = (await entrant.peer.ask({ command: 'describe', threads })).version ?? '';
    } catch (error) {
      entrant.failure = (error as Error).message;
    }
  }
  return entrants;
}

export function leave(entrants: readonly Entrant[]): void {
  for (const { peer } of entrants) peer.close();
}

interface Participant extends Entrant {
  probe: number[];
  detail: string;
  samples: number[];
}

async function prepare(entrant: Entrant, work: Work): Promise<Participant> {
  const participant: Participant = { ...entrant, probe: [], detail: '', samples: [] };
  if (entrant.failure) return participant;
  try {
    const answer = await entrant.peer.ask({
      command: 'prepare',
      variant: entrant.contender.variant,
      ...work,
    });
    return { ...participant, probe: answer.probe ?? [], detail: answer.detail ?? '' };
  } catch (error) {
    return { ...participant, failure: (error as Error).message };
  }
}

const able = (participants: readonly Participant[]) => participants.filter(({ failure }) => failure === null);

/** Replaces everybody's samples; returns the peaks: before, between and after the rounds, and the best ever. */
async function takeTurns(
  participants: readonly Participant[],
  { threads, rounds, seconds }: ContestOptions,
): Promise<number[]> {
  const peaks: number[] = [];
  for (const participant of participants) participant.samples = [];
  for (let round = 0; round < rounds; round++) {
    peaks.push(measurePeak(threads, 3));
    for (const participant of able(participants)) {
      try {
        const { samples = [] } = await participant.peer.ask({ command: 'run', seconds, atLeast: 1 });
        participant.samples.push(...samples);
      } catch (error) {
        participant.failure = (error as Error).message;
      }
    }
  }
  peaks.push(measurePeak(threads, 3));
  return [...peaks, bestPeak(threads)];
}

function isNoisy(participants: readonly Participant[], peaks: readonly number[]): boolean {
  return able(participants).some(({ samples }) => noise(summarise(samples), peaks) !== null);
}

/** The first entrant is groupconv; whoever computes something else than it isn't timed. */
export async function contest(
  entrants: readonly Entrant[],
  work: Work,
  settings: ContestOptions,
): Promise<Result[]> {
  const { flop, tolerance, retries } = settings;
  const participants: Participant[] = [];
  for (const entrant of entrants) participants.push(await prepare(entrant, work));
  const [ours] = participants;
  if (!ours || ours.failure) throw new Error(`groupconv: ${ours?.failure ?? 'takes no part'}`);
  for (const other of participants) {
    const error = relativeError(other.probe, ours.probe);
    if (!other.failure && !(error <= tolerance)) other.failure = `another result (${error.toExponential(1)})`;
  }
  for (const { peer } of participants) peer.resetPeak(); // what making the inputs took is nobody's merit
  let peaks = await takeTurns(participants, settings);
  for (let again = 0; again < retries && isNoisy(participants, peaks); again++)
    peaks = await takeTurns(participants, settings);
  const peak = Math.max(...peaks);
  const best = summarise(ours.samples).min;
  return participants.map(({ contender, peer, probe, detail, samples, failure }) => {
    const summary = summarise(samples);
    return {
      contender: contender.name,
      detail,
      samples,
      ...summary,
      percentOfPeak: (100 * flop) / summary.min / peak,
      ratio: summary.min / best,
      error: relativeError(probe, ours.probe),
      residentBytes: peer.peakResidentBytes(),
      noise: failure ? null : noise(summary, peaks),
      failure,
    };
  });
}
