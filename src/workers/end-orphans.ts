import { setTimeout as wait } from 'node:timers/promises';
import { WorkflowNotFoundError, type Client } from '@temporalio/client';
import { attemptPaths, listAttempts } from '../adapters/process-executor/attempt-directory.js';
import { readJson } from '../adapters/attempt-files/json-file.js';
import type { AttemptSpec } from '../adapters/process-executor/attempt-spec.js';
import { endAttempt } from '../adapters/process-executor/end-attempt.js';
import { claimAttempt } from '../adapters/process-executor/watch-attempt.js';
import type { ProjectPaths } from '../config/project-paths.js';
import { attemptName } from '../core/attempt.js';
import { openStore } from './open-store.js';
import { settleAttempts } from './settle-attempts.js';

/** What is asked of a Temporal client. */
export interface RunDirectory {
  readonly options: Pick<Client['options'], 'namespace'>;
  readonly workflow: {
    getHandle(workflowId: string): {
      describe(): Promise<{ readonly runId: string; readonly closeTime?: Date | undefined }>;
    };
  };
}

/** Where orphans are looked for, and who knows which runs are open. */
export interface OrphanSearch {
  readonly client: RunDirectory;
  readonly paths: Pick<ProjectPaths, 'attemptsDir' | 'store'>;
  /** Only attempts of this run. */
  readonly runId?: string;
}

/**
 * Ends the attempts of this machine that no execution waits for: their run was terminated, timed out or was reset, so no activity of
 * it ends them. Claims those that their open run waits for. An attempt whose run the server does not know is left to its supervisor, which ends it when nobody claims it: the
 * project may be pointed at another server for a while.
 * @returns names of the attempts that were ended; all are verified gone.
 */
export async function endOrphans(search: OrphanSearch): Promise<string[]> {
  const { attemptsDir } = search.paths;
  const deps = { store: openStore(search.paths), attemptsDir, clock: { nowMs: () => Date.now() } };
  const open = createEpochs(search.client);
  const ended = await settleAttempts(
    (await listAttempts(attemptsDir)).map(async (name) => {
      const spec = await readJson<AttemptSpec>(attemptPaths(attemptsDir, name).spec);
      if (spec === undefined || (search.runId !== undefined && spec.runId !== search.runId)) return [];
      const epoch = await open(spec.runId);
      if (!isOrphan(spec, search.client.options.namespace, epoch)) {
        // Its activity may wait for a slot or for another service, so that nobody watches it: its run does wait for it.
        if (epoch.kind === 'open') await claimAttempt(attemptPaths(attemptsDir, name), deps.clock.nowMs());
        return [];
      }
      const { stopGraceMs: graceMs, executionId } = spec.request;
      await endAttempt(deps, name, { graceMs, executionId });
      return [name];
    }),
  );
  return ended.flat();
}

/** Ends orphans now and every minute, until the signal. */
export async function keepEndingOrphans(
  search: OrphanSearch,
  { signal, log }: { readonly signal: AbortSignal; readonly log: (message: string) => void },
): Promise<void> {
  while (!signal.aborted) {
    try {
      const ended = await endOrphans(search);
      if (ended.length > 0) log(`ended what nobody waits for any more: ${ended.join(', ')}`);
    } catch (error) {
      log(
        `could not look for attempts of closed runs: ${error instanceof Error ? error.message : String(error)}`,
      );
    }
    await wait(INTERVAL_MS, undefined, { signal, ref: false }).catch(() => undefined);
  }
}

const INTERVAL_MS = 60_000;

/** The one execution of a run that is open. */
export type Epoch = { readonly kind: 'open'; readonly id: string } | { readonly kind: 'closed' | 'unknown' };

/** Asks the server once for each run. */
export function createEpochs(client: RunDirectory): (runId: string) => Promise<Epoch> {
  const asked = new Map<string, Promise<Epoch>>();
  return async (runId) => {
    const known = asked.get(runId) ?? readEpoch(client, runId);
    asked.set(runId, known);
    return await known;
  };
}

async function readEpoch(client: RunDirectory, runId: string): Promise<Epoch> {
  try {
    const found = await client.workflow.getHandle(runId).describe();
    return found.closeTime === undefined ? { kind: 'open', id: found.runId } : { kind: 'closed' };
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return { kind: 'unknown' };
    throw error;
  }
}

/** An attempt's name is made from its execution: an open execution that would call it otherwise has no use for it. */
function isOrphan({ name, runId, request }: AttemptSpec, namespace: string, epoch: Epoch): boolean {
  if (epoch.kind !== 'open') return epoch.kind === 'closed';
  const { step, index, attempt } = request;
  return name !== attemptName({ namespace, workflowId: runId, epoch: epoch.id, step, index, attempt });
}
