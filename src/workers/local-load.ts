import { attemptPaths, listAttempts } from '../adapters/process-executor/attempt-directory.js';
import { readJson } from '../adapters/attempt-files/json-file.js';
import type { AttemptSpec, AttemptStatus } from '../adapters/process-executor/attempt-spec.js';

/** Attempts of one pool on this machine. */
export interface LocalLoad {
  readonly running: number;
  /** Among them those that wait for a GPU. */
  readonly waitingForGpu: number;
}

/** The attempts of this machine by pool, as their directories say: no server is asked. */
export async function readLocalLoad(attemptsDir: string): Promise<ReadonlyMap<string, LocalLoad>> {
  const found = new Map<string, LocalLoad>();
  for (const name of await listAttempts(attemptsDir)) {
    const paths = attemptPaths(attemptsDir, name);
    const spec = await readJson<AttemptSpec>(paths.spec);
    if (spec === undefined || (await readJson(paths.result)) !== undefined) continue;
    const status = await readJson<AttemptStatus>(paths.status);
    const { running, waitingForGpu } = found.get(spec.request.pool) ?? { running: 0, waitingForGpu: 0 };
    const waits = status?.phase === 'queued' ? 1 : 0;
    found.set(spec.request.pool, { running: running + 1, waitingForGpu: waitingForGpu + waits });
  }
  return found;
}
