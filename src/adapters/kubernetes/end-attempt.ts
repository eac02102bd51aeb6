import type { V1Job, V1Pod } from '@kubernetes/client-node';
import type { EndOptions } from '../../activities/ports/executor.js';
import type { AttemptOutcome } from '../../core/attempt.js';
import { readVerdict, recordFailure } from './attempt-verdict.js';
import { createThrottle } from './create-throttle.js';
import { hasMainEnded, isFinished, isTerminal } from './diagnosis/pod-facts.js';
import { endJob, isOwn } from './end-job.js';
import type { KubernetesExecutorDeps } from './executor-deps.js';
import { FOREIGN_LABELS, toLabelValue } from './labels.js';

/** Ends attempts of one worker, however many at a time, at a rate that leaves the API server to others. */
export interface Ending {
  /**
   * Ends whatever runs under the name. That it was stopped is recorded before anything goes: who watches it meanwhile does not take it for
   * somebody else's doing, who is about to launch it finds the record, and a pod that has not begun does not begin.
   */
  end(name: string, options: EndOptions): Promise<void>;
  /** Ends what is left of an attempt whose end is recorded. */
  endRest(name: string, graceMs: number): Promise<void>;
  /** Whether something still runs under the name of an attempt that is recorded as failed by somebody else than its own command. */
  mayRunOn(name: string, recorded: AttemptOutcome): Promise<boolean>;
}

/** Requests in a second, while hundreds of attempts are ended at once. */
const REQUESTS_PER_SECOND = 100;

/** Makes what ends attempts. */
export function createEnding(
  deps: Pick<KubernetesExecutorDeps, 'api' | 'watcher' | 'store' | 'clock' | 'project'>,
): Ending {
  const { api, watcher, store, clock } = deps;
  const project = toLabelValue(deps.project);
  const pace = createThrottle(REQUESTS_PER_SECOND, () => performance.now());
  const { signal } = new AbortController();
  const throttle = async () => await pace(signal);
  const endRest = async (name: string, graceMs: number) =>
    await endJob({ api, watcher, throttle }, { name, graceMs, project });
  const podsOf = async (name: string) => {
    await throttle();
    const pods = await api.listPods({ labelSelector: `${FOREIGN_LABELS.jobName}=${name}` });
    return pods.filter(({ metadata = {} }) => isOwn(metadata, project));
  };
  return {
    endRest,
    end: async (name, { graceMs, executionId }) => {
      const place = { executionId, name };
      const pods = await podsOf(name);
      const uids = pods.flatMap(({ metadata }) => metadata?.uid ?? []);
      if ((await readVerdict(store, place, uids)) === undefined) {
        const nowMs = clock.nowMs();
        await recordFailure(store, place, {
          kind: 'failed',
          attemptName: name,
          code: 'AttemptKilled',
          message: `Attempt ${name} was stopped on request${pods.length === 0 ? ' before it began' : ''}.`,
          logTail: [],
          startedAtMs: nowMs,
          endedAtMs: nowMs,
        });
      }
      await endRest(name, graceMs);
    },
    mayRunOn: async (name, recorded) => {
      if (recorded.kind === 'succeeded' || recorded.exitCode !== undefined) return false;
      const [job, pods] = await Promise.all([api.readJob(name), podsOf(name)]);
      const own = job && isOwn(job.metadata ?? {}, project);
      return isAlive({ pods, ...(own && { job }) });
    },
  };
}

/** Whether a command runs there, or will. */
export function isAlive({ job, pods }: { readonly job?: V1Job; readonly pods: readonly V1Pod[] }): boolean {
  const isOver = (pod: V1Pod) => isTerminal(pod) || hasMainEnded(pod);
  if (pods.some((pod) => !isOver(pod))) return true;
  return job !== undefined && pods.length === 0 && !isFinished(job);
}
