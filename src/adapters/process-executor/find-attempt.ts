import type { AttemptIdentity } from '../../activities/ports/executor.js';
import type { AttemptOutcome } from '../../core/attempt.js';
import { attemptPaths } from './attempt-directory.js';
import { readAttemptState } from './attempt-state.js';
import type { EndDeps } from './end-attempt.js';
import { readStoredOutcome } from '../attempt-files/stored-outcome.js';
import { claimAttempt } from './watch-attempt.js';

/** What there is of an attempt: its directory on this machine, which is claimed, or else its end in the store. */
export async function findAttempt(
  { store, attemptsDir, clock }: EndDeps,
  { name, executionId }: AttemptIdentity,
): Promise<'running' | AttemptOutcome | undefined> {
  const paths = attemptPaths(attemptsDir, name);
  if ((await readAttemptState(paths)).kind === 'absent')
    return await readStoredOutcome(store, { executionId, name });
  await claimAttempt(paths, clock.nowMs());
  return 'running';
}
