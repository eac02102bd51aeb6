import { setTimeout as wait } from 'node:timers/promises';
import { AnnealError } from '../core/failures.js';
import type { Build } from './build/build-manifest.js';

/** What {@link hostForTrial} stands on. */
export interface TrialDeps {
  /** Puts a build where every worker of the project can read it. */
  readonly ship: (build: Build) => Promise<void>;
  /** Asks workers to host a build for a while, beside those of new runs. */
  readonly want: (digest: string) => Promise<void>;
  /** Builds that workers host now. */
  readonly listHosted: () => Promise<readonly string[]>;
  readonly signal: AbortSignal;
  readonly nowMs: () => number;
  /** How long workers may take to host it. Default: a minute. */
  readonly patienceMs?: number;
}

const PATIENCE_MS = 60_000;
const POLL_MS = 500;

/**
 * Lets workers host a build that new runs do not use, and waits until one does.
 * @throws AnnealError WorkerUnavailable when none does in time; the signal's reason.
 */
export async function hostForTrial(deps: TrialDeps, build: Build): Promise<void> {
  const { signal, nowMs, patienceMs = PATIENCE_MS } = deps;
  await deps.ship(build);
  await deps.want(build.digest);
  // From here on the build is used, and stays; what was removed just before is put back.
  await deps.ship(build);
  const deadline = nowMs() + patienceMs;
  while (!(await deps.listHosted()).includes(build.digest)) {
    signal.throwIfAborted();
    if (nowMs() > deadline)
      throw new AnnealError(
        'WorkerUnavailable',
        `No worker has taken up build ${build.digest.slice(0, 12)} within ${Math.round(patienceMs / 1_000)} s, so nothing was started. A worker with pipelines that takes builds from the store does it within seconds, or says in its log why not; start one with: anneal worker`,
      );
    await wait(POLL_MS, undefined, { signal }).catch(() => undefined);
  }
}
