import { parseDuration } from './duration.js';
import type { RecordedDecision } from './approval.js';
import type { ArtifactRef } from './artifacts.js';
import type { CallKind, Journal, JournalEntry } from './journal.js';
import { didYouMean } from './nearest-name.js';
import { parseBytes } from './quantity.js';

/** Updates that operators send to a run. */
export const PAUSE_RUN = 'pause';
export const RESUME_RUN = 'resume';
export const SET_STEP = 'set';
/** Query that answers a run's journal, also when the run has ended. */
export const JOURNAL_QUERY = 'journal';
/** Memo of a run that takes up another one's finished work: {@link RetryOrigin}. */
export const RETRY_MEMO = 'anneal.retryOf';

/** Who asks, and why. */
export interface ControlRequest {
  readonly by: string;
  readonly reason?: string;
}

/** A run that starts nothing new until it is resumed. */
export interface Paused extends ControlRequest {
  readonly atMs: number;
}

/** What the attempts of a step that start from now on get instead of what the code says. */
export interface StepSettings {
  readonly timeout?: string;
  readonly memory?: string;
  readonly pool?: string;
}

/** What operators have asked of a run; carried to its next execution. */
export interface CarriedControls {
  readonly paused?: Paused;
  readonly changes: { readonly [step: string]: StepSettings };
}

/** Argument of update `set`. */
export interface StepChange extends StepSettings {
  /** Name of the step, or of one call of it. */
  readonly step: string;
  readonly by: string;
}

/** What is wrong with the argument of `pause` or `resume`, or undefined. */
export function problemOfControl(given: unknown): string | undefined {
  const { by, reason } = asObject(given);
  if (typeof by !== 'string' || by === '' || by.length > TEXT_LIMIT)
    return `It needs "by", a text of 1 to ${TEXT_LIMIT} characters: who asks.`;
  return reason === undefined || (typeof reason === 'string' && reason.length <= TEXT_LIMIT)
    ? undefined
    : `"reason" is a text of at most ${TEXT_LIMIT} characters.`;
}

/** What is wrong with a change of a step, or undefined. @param pools names of the pools of the run. */
export function problemOfChange(given: unknown, pools: readonly string[]): string | undefined {
  const { step, timeout, memory, pool } = asObject(given);
  const who = problemOfControl(given);
  if (who !== undefined) return who;
  if (typeof step !== 'string' || step === '') return 'It needs "step", the name of a step.';
  if (timeout === undefined && memory === undefined && pool === undefined)
    return 'It changes nothing: give "timeout", "memory" or "pool".';
  if (timeout !== undefined && !parses(parseDuration, timeout))
    return `"timeout" is ${JSON.stringify(timeout)}; it must be a duration such as "2h".`;
  if (memory !== undefined && !parses(parseBytes, memory))
    return `"memory" is ${JSON.stringify(memory)}; it must be an amount such as "16Gi".`;
  if (pool !== undefined && (typeof pool !== 'string' || !pools.includes(pool)))
    return `"pool" is ${JSON.stringify(pool)}; the run has ${pools.join(', ')}.${typeof pool === 'string' ? didYouMean(pool, pools) : ''}`;
  return undefined;
}

const TEXT_LIMIT = 1_000;

function asObject(given: unknown): { readonly [name: string]: unknown } {
  return typeof given === 'object' && given !== null ? (given as { readonly [name: string]: unknown }) : {};
}

function parses(parse: (text: string) => number, text: unknown): boolean {
  try {
    return typeof text === 'string' && parse(text) > 0;
  } catch {
    return false;
  }
}

/** The run whose work another one takes up. */
export interface RetryOrigin {
  readonly runId: string;
  readonly executionId: string;
}

/** Finished work of another run. A call with the same name, input digest and occurrence is answered with it. */
export interface RetrySeed {
  readonly of: RetryOrigin;
  readonly entries: readonly JournalEntry[];
  /** Decisions behind the approvals among them. */
  readonly decisions?: readonly RecordedDecision[];
}

/** What is taken over. */
export interface RetryChoice {
  /** Name of a step: it runs again, and so does everything that ended after its first call did. */
  readonly from?: string;
  /** Approvals count again for the same digest. */
  readonly keepApprovals?: boolean;
}

/** The part of a run's journal that a retry takes over: answers, no failures, and approvals only where that is asked. */
export function seedOf(of: RetryOrigin, journal: Journal, { from, keepApprovals }: RetryChoice): RetrySeed {
  const cut = from === undefined ? -1 : journal.entries.findIndex(({ k }) => k.startsWith(`step:${from}|`));
  const before = cut < 0 ? journal.entries : journal.entries.slice(0, cut);
  const entries = before
    .filter(({ k, f }) => f === undefined && (keepApprovals === true || kindOf(k) !== 'approval'))
    .map(({ k, v }) => ({ k, v }));
  return { of, entries };
}

/** Names of the steps that a journal has answers of. */
export function stepsOf(journal: Journal): string[] {
  const names = journal.entries.flatMap(({ k }) =>
    kindOf(k) === 'step' ? [k.slice('step:'.length, k.indexOf('|'))] : [],
  );
  return [...new Set(names)];
}

/** The kind of a call, from its key. */
export function kindOf(key: string): CallKind {
  return key.slice(0, key.indexOf(':')) as CallKind;
}

/** The attempt that made an artifact, from its address in the store; undefined for what no attempt made. */
export function makerOf(
  value: unknown,
): { readonly executionId: string; readonly attemptName: string } | undefined {
  const refs = Object.values(asObject(value)).filter(
    (output): output is ArtifactRef => typeof asObject(output)['uri'] === 'string',
  );
  const found = refs.map(({ uri }) => /\/runs\/([^/]+)\/attempts\/([^/]+)\//.exec(uri)).find(Boolean);
  const [, executionId, attemptName] = found ?? [];
  return executionId === undefined || attemptName === undefined ? undefined : { executionId, attemptName };
}
