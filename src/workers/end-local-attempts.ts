import { listAttempts } from '../adapters/process-executor/attempt-directory.js';
import { endAttempt } from '../adapters/process-executor/end-attempt.js';
import type { ProjectPaths } from '../config/project-paths.js';
import { openStore } from './open-store.js';
import { settleAttempts } from './settle-attempts.js';

/**
 * Ends every attempt that runs on this machine, as on a shutdown: SIGTERM, so that a command can write a checkpoint, SIGKILL after the
 * grace. Their runs stay open and go on with a next attempt when workers are back. Call it when no worker of the project is alive here.
 * @returns names of the attempts that were there; all are verified gone.
 */
export async function endLocalAttempts(
  paths: Pick<ProjectPaths, 'attemptsDir' | 'store'>,
  options: { readonly graceMs: number },
): Promise<string[]> {
  const { attemptsDir } = paths;
  const names = await listAttempts(attemptsDir);
  const deps = { store: openStore(paths), attemptsDir, clock: { nowMs: () => Date.now() } };
  await settleAttempts(names.map(async (name) => await endAttempt(deps, name, options)));
  return names;
}
