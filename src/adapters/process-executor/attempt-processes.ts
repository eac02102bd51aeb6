import type { ProcessIdentity } from '../process-identity.js';
import { readEnvironmentMembers } from '../process-identity.js';
import type { AttemptPaths } from './attempt-directory.js';

/** Names the attempt in the environment of its command, and so in that of everything the command starts. */
export const CHECKPOINT_DIR = 'ANNEAL_CHECKPOINT_DIR';

/** Processes that the command of an attempt started, also those that moved to a session of their own, as torchrun's workers do. */
export async function readAttemptProcesses(
  paths: Pick<AttemptPaths, 'checkpoints'>,
): Promise<ProcessIdentity[]> {
  return await readEnvironmentMembers(CHECKPOINT_DIR, paths.checkpoints);
}
