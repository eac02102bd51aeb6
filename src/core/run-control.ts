import { parseDuration } from './duration.js';
import type { RecordedDecision } from './approval.js';
import type { ArtifactRef } from './artifacts.js';
import { callIdOf, type CallKind, type Journal, type JournalEntry } from './journal.js';
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
  /** Those behind the approvals that it got. They count for the same call where its gate, as it opens now, takes them. */
  readonly decisions?: readonly RecordedDecision[];
}

/** What is taken over. */
export interface RetryChoice {
  /** Name of a step: it runs again, and so does everything that ended after its first call did. */
  readonly from?: string;
  /** Decisions count again for the same digest, where the gate still takes them. */
  readonly keepApprovals?: boolean;
}

/**
 * The part of a run that a retry takes over: answers of its journal, no failures; of its approvals the decisions, where that is asked.
 * @param decisions those that counted in it.
 */
export function seedOf(
  of: RetryOrigin,
  {
    journal,
    decisions = [],
  }: { readonly journal: Journal; readonly decisions?: readonly RecordedDecision[] },
  { from, keepApprovals }: RetryChoice,
): RetrySeed {
  const cut = from === undefined ? -1 : journal.entries.findIndex(({ k }) => k.startsWith(`step:${from}|`));
  const before = cut < 0 ? journal.entries : journal.entries.slice(0, cut);
  const isAnswer = ({ f }: JournalEntry) => f === undefined;
  const isApproval = ({ k }: JournalEntry) => kindOf(k) === 'approval';
  const entries = before
    .filter((entry) => isAnswer(entry) && !isApproval(entry))
    .map(({ k, v }) => ({ k, v }));
  if (keepApprovals !== true) return { of, entries };
  // Also those behind the cut: what is made again may be the same bytes, and where it is not, the gate says why they do not count.
  const approvals = journal.entries.filter((entry) => isAnswer(entry) && isApproval(entry));
  return { of, entries, decisions: approvals.flatMap((entry) => decisionsBehind(entry, of, decisions)) };
}

/** What people decided in a run on this approval; one that was kept there already names the run in which it was made. */
function decisionsBehind(
  { k, v }: JournalEntry,
  of: RetryOrigin,
  decisions: readonly RecordedDecision[],
): RecordedDecision[] {
  const { approvedBy = [] } = asObject(v) as { readonly approvedBy?: readonly string[] };
  const callId = callIdOf(of.executionId, k);
  // Of a run without a record only its history is known, which does not say for which call a decision counted.
  const isBehind = ({ callId: madeFor, gate, by }: RecordedDecision) =>
    madeFor === '' ? k.startsWith(`approval:${gate}|`) && approvedBy.includes(by) : madeFor === callId;
  return decisions
    .filter(isBehind)
    .map((decision) => ({ ...decision, callId, keptFrom: decision.keptFrom ?? of }));
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
