import type { DecisionSignature } from './approval.js';
import { canonicalJson } from './json.js';

/** Memo of a run: {@link StartSignature} of whoever started it. */
export const START_MEMO = 'anneal.start';

/** What a signed start carries beside the name in the memo. */
export interface StartSignature {
  readonly atMs: number;
  readonly signature: DecisionSignature;
}

/** What somebody says who starts a run. */
export interface StartClaim {
  readonly project: string;
  readonly pipeline: string;
  readonly runId: string;
  readonly by: string;
  readonly atMs: number;
}

/** A start as the run passes it on to whoever knows people's keys. */
export interface ClaimedStart {
  readonly by: string;
  readonly statement: string;
  readonly signature: DecisionSignature;
}

/**
 * Who started a run. `server`: Temporal's own record of who called it, where the server authenticates its callers. `signature`: a key
 * that anneal.yaml lists for this person signed the start. Without `proven` the name is only what the client said.
 */
export interface Starter {
  readonly name?: string;
  readonly proven?: 'server' | 'signature';
}

/** A start is signed when it is made: a signature that is older or newer was made for another one. */
const VALID_MS = 10 * 60_000;

/** The text that is signed: who starts which pipeline, under which id, when. */
export function startStatement({ project, pipeline, runId, by, atMs }: StartClaim): string {
  return `anneal-start/1\n${canonicalJson({ project, pipeline, run: runId, by, atMs })}\n`;
}

/** Whether a signature may be of a start at that time. */
export function isTimely(atMs: number, startedAtMs: number): boolean {
  return Math.abs(startedAtMs - atMs) <= VALID_MS;
}
