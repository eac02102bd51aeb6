import { readStoredOutcome, storeFailure, type AttemptPlace } from '../attempt-files/stored-outcome.js';
import type { ArtifactStore } from '../../core/artifact-store.js';
import { storeKeys } from '../../core/artifact-store.js';
import type { AttemptFailed, AttemptOutcome } from '../../core/attempt.js';
import type { DiagnosedFailure } from './diagnosis/diagnosis.js';

/**
 * How an attempt ended, as the store knows it: its manifest, what was recorded of it, and what its pods wrote, the newest first. `undefined`:
 * the store knows no end.
 */
export async function readVerdict(
  store: ArtifactStore,
  place: AttemptPlace,
  podUids: readonly string[],
): Promise<AttemptOutcome | undefined> {
  const stored = await readStoredOutcome(store, place);
  if (stored) return stored;
  for (const podUid of podUids.toReversed()) {
    const outcome = await readPodOutcome(store, { ...place, podUid });
    if (outcome === undefined) continue;
    if (outcome.kind === 'succeeded') return (await readStoredOutcome(store, place)) ?? outcome;
    return await recordFailure(store, place, outcome);
  }
  return undefined;
}

/** Records how an attempt failed, and says what the first record of it is. */
export async function recordFailure(
  store: ArtifactStore,
  place: AttemptPlace,
  outcome: AttemptFailed,
): Promise<AttemptOutcome> {
  await storeFailure(store, place, outcome);
  return (await readStoredOutcome(store, place)) ?? outcome;
}

/** What Kubernetes tells of an attempt as an outcome. */
export function failedOutcome(
  failure: DiagnosedFailure,
  of: {
    readonly step: string;
    readonly name: string;
    readonly startedAtMs: number;
    readonly endedAtMs: number;
    readonly logTail?: readonly string[];
  },
): AttemptFailed {
  const { code, message, exitCode, signal } = failure;
  return {
    kind: 'failed',
    attemptName: of.name,
    code,
    message: sentence(of.step, message),
    logTail: of.logTail ?? [],
    startedAtMs: of.startedAtMs,
    endedAtMs: of.endedAtMs,
    ...(exitCode === undefined ? {} : { exitCode }),
    ...(signal === undefined ? {} : { signal }),
  };
}

/** `It ran out of memory` of the step "train" is `Step "train" ran out of memory`. */
function sentence(step: string, message: string): string {
  const subject = `Step "${step}"`;
  if (message.startsWith(subject)) return message;
  if (message.startsWith('It ')) return `${subject} ${message.slice(3)}`;
  const lowered = /^(Its|A|The|Something) /.test(message)
    ? `${message.charAt(0).toLowerCase()}${message.slice(1)}`
    : message;
  return `${subject}: ${lowered}`;
}

async function readPodOutcome(
  store: ArtifactStore,
  { executionId, name, podUid }: AttemptPlace & { readonly podUid: string },
): Promise<AttemptOutcome | undefined> {
  const bytes = await store.readBytes(storeKeys.podOutcome({ executionId, attemptName: name, podUid }));
  return bytes === undefined ? undefined : (JSON.parse(new TextDecoder().decode(bytes)) as AttemptOutcome);
}
