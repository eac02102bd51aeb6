import { setTimeout as wait } from 'node:timers/promises';
import { asAnnealError } from '../adapters/kubernetes/api-refusal.js';
import type { KubernetesApi } from '../adapters/kubernetes/api.js';
import { projectSelector } from '../adapters/kubernetes/labels.js';
import { readAttemptJobs, reapJob, type ApiJob, type AttemptJob } from '../adapters/kubernetes/reap-jobs.js';
import type { ProjectConfig } from '../config/project-config.js';
import { AnnealError } from '../core/failures.js';
import { createEpochs, type Epoch, type RunDirectory } from './end-orphans.js';
import { openKubernetes } from './open-kubernetes.js';
import { settleAttempts } from './settle-attempts.js';

/** Why nobody waits for a Job. `unknown`: the server does not know the run, so it is left alone. */
export type OrphanReason = 'closed' | 'reset' | 'unknown';

/** A Job that nobody waits for. */
export interface OrphanJob extends AttemptJob {
  readonly why: OrphanReason;
}

/** What was found, and why some Jobs could not be judged: one that cannot keeps no other from being ended. */
export interface FoundOrphans {
  readonly orphans: readonly OrphanJob[];
  readonly problems: readonly unknown[];
}

/**
 * Jobs whose execution is closed or was replaced by a reset: no activity of theirs will end them. A run that the server does not know may belong
 * to another server.
 */
export async function findOrphanJobs(client: RunDirectory, jobs: readonly ApiJob[]): Promise<FoundOrphans> {
  const { namespace } = client.options;
  const open = createEpochs(client);
  const own = readAttemptJobs(jobs).filter(
    ({ temporalNamespace }) => temporalNamespace === undefined || temporalNamespace === namespace,
  );
  const judged = await Promise.allSettled(
    own.map(async (job) => ({ job, why: judge(job, await open(job.runId)) })),
  );
  return {
    orphans: judged.flatMap((one) =>
      one.status === 'rejected' || one.value.why === undefined
        ? []
        : [{ ...one.value.job, why: one.value.why }],
    ),
    // A server that is away is one problem, however many runs it was asked after.
    problems: [
      ...new Map(
        judged.flatMap((one) =>
          one.status === 'rejected' ? [[String(one.reason), one.reason as unknown] as const] : [],
        ),
      ).values(),
    ],
  };
}

function judge({ epoch: asked }: AttemptJob, epoch: Epoch): OrphanReason | undefined {
  if (epoch.kind !== 'open') return epoch.kind;
  return asked === undefined || asked === epoch.id ? undefined : 'reset';
}

/** What {@link createReaper} takes. */
export interface ReaperDeps {
  readonly client: RunDirectory;
  readonly api: KubernetesApi;
  /** The Jobs of the project as they are known, such as by the watcher. */
  readonly jobs: () => Promise<readonly ApiJob[]> | readonly ApiJob[];
}

/** Ends what nobody waits for, at the second look: a run that closes just now ends its own. */
export interface Reaper {
  /** One look. @returns names of the Jobs that it ended; all are gone. */
  pass(): Promise<readonly string[]>;
}

/** Makes a reaper that has not looked yet. */
export function createReaper({ client, api, jobs }: ReaperDeps): Reaper {
  let suspects: ReadonlySet<string> = new Set();
  return {
    pass: async () => {
      const found = await findOrphanJobs(client, await jobs());
      const orphans = found.orphans.filter(({ why }) => why !== 'unknown');
      const due = orphans.filter(({ uid }) => suspects.has(uid));
      suspects = new Set(orphans.map(({ uid }) => uid));
      return await endAll(api, due, found.problems);
    },
  };
}

/** Each Job that is being ended is asked after every two seconds: those of a thousand must not take the API server's time from what runs. */
const AT_ONCE = 100;

/** @returns names of those that it ended. @throws the problems, when all else is done. */
async function endAll(
  api: KubernetesApi,
  orphans: readonly OrphanJob[],
  problems: readonly unknown[],
): Promise<readonly string[]> {
  const waiting = [...orphans];
  const ended = new Set<string>();
  const failed = [...problems];
  const work = async () => {
    for (let job = waiting.shift(); job !== undefined; job = waiting.shift()) {
      try {
        if (await reapJob(api, job)) ended.add(job.name);
      } catch (error) {
        failed.push(error);
      }
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  await settleAttempts(failed.map(async (problem) => await Promise.reject(problem as Error)));
  return orphans.flatMap(({ name }) => (ended.has(name) ? [name] : []));
}

const INTERVAL_MS = 60_000;

/** Looks now and every minute, until the signal. */
export async function keepReaping(
  deps: ReaperDeps,
  { signal, log }: { readonly signal: AbortSignal; readonly log: (message: string) => void },
): Promise<void> {
  const reaper = createReaper(deps);
  while (!signal.aborted) {
    try {
      const ended = await reaper.pass();
      if (ended.length > 0) log(`ended Jobs that nobody waits for any more: ${ended.join(', ')}`);
    } catch (error) {
      log(
        `could not look for Jobs of closed runs: ${error instanceof Error ? error.message : String(error)}`,
      );
    }
    // Workers that start together do not ask together.
    const pauseMs = INTERVAL_MS * (0.75 + Math.random() / 2);
    await wait(pauseMs, undefined, { signal, ref: false }).catch(() => undefined);
  }
}

/** Orphans as a command looks for them. */
export interface OrphanDesk {
  /** @throws AnnealError ClusterUnavailable and others of the cluster. */
  look(): Promise<readonly OrphanJob[]>;
  /** Ends those that nobody waits for still. @returns their names; all are gone. */
  end(orphans: readonly OrphanJob[]): Promise<readonly string[]>;
  close(): Promise<void>;
}

/** Opens the cluster of a project to look for its orphans. @throws AnnealError InvalidConfig: no pool is on Kubernetes, or no cluster is known. */
export async function openOrphanDesk(options: {
  readonly config: Pick<ProjectConfig, 'project' | 'kubernetes' | 'file'>;
  readonly client: RunDirectory;
  readonly env: { readonly [name: string]: string | undefined };
}): Promise<OrphanDesk> {
  const { config, client, env } = options;
  if (config.kubernetes === undefined)
    throw new AnnealError(
      'InvalidConfig',
      `No pool in ${config.file} is on Kubernetes, so there are no Jobs to look for.`,
    );
  const { api } = await openKubernetes(config.kubernetes, env);
  const asked = async <T>(work: () => Promise<T>) =>
    await work().catch((error: unknown) => {
      throw asAnnealError(error, api.namespace);
    });
  const look = async () => {
    const jobs = await api.listJobs({ labelSelector: projectSelector(config.project) });
    return await findOrphanJobs(client, jobs);
  };
  const orphansOf = async () => {
    const { orphans, problems } = await look();
    if (orphans.length === 0 && problems.length > 0) throw problems[0];
    return orphans;
  };
  return {
    look: async () => await asked(orphansOf),
    end: async (orphans) =>
      await asked(async () => {
        const known = new Set(orphans.map(({ uid }) => uid));
        const { orphans: found, problems } = await look();
        const due = found.filter(({ uid, why }) => why !== 'unknown' && known.has(uid));
        return await endAll(api, due, problems);
      }),
    close: async () => await api.close(),
  };
}
