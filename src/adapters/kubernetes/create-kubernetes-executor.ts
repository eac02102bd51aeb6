import type {
  AttemptExecutor,
  AttemptLaunch,
  AttemptWatch,
  EndOptions,
} from '../../activities/ports/executor.js';
import type { AttemptOutcome } from '../../core/attempt.js';
import { AnnealError } from '../../core/failures.js';
import { sendStoredCommand } from '../attempt-files/stored-commands.js';
import { readStoredOutcome } from '../attempt-files/stored-outcome.js';
import { asAnnealError } from './api-refusal.js';
import { failedOutcome, readVerdict, recordFailure } from './attempt-verdict.js';
import { createThrottle } from './create-throttle.js';
import { endJob } from './end-job.js';
import type { KubernetesExecutorDeps } from './executor-deps.js';
import { FOREIGN_LABELS, JOB_TTL } from './labels.js';
import { checkOwnership, launchJob } from './launch-job.js';
import { readLastLines } from './read-last-lines.js';
import { watchJob, type WatchedEnd } from './watch-job.js';

/** Runs attempts as Jobs, one pod each. Several executors, on several machines, may serve the same project. */
export function createKubernetesExecutor(deps: KubernetesExecutorDeps): AttemptExecutor {
  const throttle = createThrottle(deps.settings.jobsPerSecond, () => performance.now());
  return {
    run: async (launch, watch) => {
      try {
        return await runAttempt(deps, { launch, watch, throttle });
      } catch (error) {
        if (watch.cancelled.aborted) {
          const { stopGraceMs: graceMs, executionId } = launch.request;
          await endAttempt(deps, launch.name, { graceMs, executionId });
          watch.cancelled.throwIfAborted();
        }
        watch.detached.throwIfAborted();
        throw asAnnealError(error, deps.api.namespace);
      }
    },
    end: async (name, options) => {
      try {
        await endAttempt(deps, name, options);
      } catch (error) {
        throw asAnnealError(error, deps.api.namespace);
      }
    },
    find: async ({ name, executionId }) => {
      const stored = await readStoredOutcome(deps.store, { executionId, name });
      if (stored) return stored;
      await deps.watcher.ready();
      return deps.watcher.view(name).job === undefined ? undefined : 'running';
    },
    command: async (name, command, { executionId, ...wait }) =>
      await sendStoredCommand(
        { store: deps.store, place: { executionId, name } },
        { command, ...wait, nowMs: deps.clock.nowMs },
      ),
  };
}

interface Running {
  readonly launch: AttemptLaunch;
  readonly watch: AttemptWatch;
  readonly throttle: (signal: AbortSignal) => Promise<void>;
}

async function runAttempt(deps: KubernetesExecutorDeps, running: Running): Promise<AttemptOutcome> {
  const { watcher, store, clock } = deps;
  const { launch, watch } = running;
  const { request, name } = launch;
  const place = { executionId: request.executionId, name };
  const signal = AbortSignal.any([watch.cancelled, watch.detached]);
  const beganMs = clock.nowMs();
  signal.throwIfAborted();
  await untilAborted(watcher.ready(), signal);
  const stored = await readStoredOutcome(store, place);
  if (stored) return stored;
  try {
    const known = watcher.view(name).job;
    const { job, created } = known
      ? { job: known, created: false }
      : await launchJob(deps, launch, { ...running, signal });
    checkOwnership(deps, launch, job);
    if (!known) watcher.seen(job);
    // Somebody may have ended the attempt while it was launched: that is in the store, and nothing may run under its name.
    const ended = created ? await readStoredOutcome(store, place) : undefined;
    if (ended) {
      await endJob(deps.api, name, request.stopGraceMs);
      return ended;
    }
    signal.throwIfAborted();
    const end = await watchJob(deps, { launch, job, adopted: !created, watch });
    return await settle(deps, launch, end);
  } catch (error) {
    signal.throwIfAborted();
    // What no other try would change is an outcome; what may pass is left to whoever called.
    if (
      !(error instanceof AnnealError) ||
      error.code === 'ClusterUnavailable' ||
      error.code === 'StoreUnavailable'
    )
      throw error;
    const failed = failedOutcome(error, {
      step: request.step,
      name,
      startedAtMs: beganMs,
      endedAtMs: clock.nowMs(),
    });
    return await recordFailure(store, place, failed);
  }
}

/** Ends what is left of an attempt that is over, keeps what can be kept, and says how it ended. */
async function settle(
  deps: KubernetesExecutorDeps,
  launch: AttemptLaunch,
  end: WatchedEnd,
): Promise<AttemptOutcome> {
  const { api, store, watcher, clock, log } = deps;
  const { request, name } = launch;
  const place = { executionId: request.executionId, name };
  const { job } = watcher.view(name);
  const uid = job?.metadata?.uid;
  if (end.kind === 'stored') {
    if (uid !== undefined)
      // Nobody waits for that: a Job that keeps its first time goes a week later.
      api.setJobTtl(name, uid, JOB_TTL.settled).catch((error: unknown) => log(`${name}: ${String(error)}`));
    return end.outcome;
  }
  const logTail = await readLastLines(deps, { launch, end }).catch(() => []);
  const judge = async (): Promise<AttemptOutcome> => {
    // What its pod stored while it was ended counts.
    const stored = await readVerdict(store, place, end.pods.uids);
    if (stored) return stored;
    const nowMs = clock.nowMs();
    const failed = failedOutcome(end.failure, {
      step: request.step,
      name,
      logTail,
      startedAtMs: end.startedAtMs ?? nowMs,
      endedAtMs: end.endedAtMs ?? nowMs,
    });
    return await recordFailure(store, place, failed);
  };
  try {
    if (end.alive) await endJob(api, name, request.stopGraceMs);
    else if (uid !== undefined) await api.setJobTtl(name, uid, JOB_TTL.settled).catch(() => undefined);
  } catch (error) {
    // Who asked ends it again, which must not look like the reason.
    await judge();
    throw error;
  }
  return await judge();
}

/**
 * That it was stopped is recorded before anything goes: who watches it meanwhile does not take it for somebody else's doing, and who is about to
 * launch it finds the record.
 */
async function endAttempt(
  { api, store, clock }: KubernetesExecutorDeps,
  name: string,
  { graceMs, executionId }: EndOptions,
): Promise<void> {
  const place = { executionId, name };
  const pods = await api.listPods({ labelSelector: `${FOREIGN_LABELS.jobName}=${name}` });
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
  await endJob(api, name, graceMs);
}

async function untilAborted(work: Promise<void>, signal: AbortSignal): Promise<void> {
  let abort: () => void = () => undefined;
  const aborted = new Promise<void>((resolve) => {
    abort = resolve;
  });
  signal.addEventListener('abort', abort);
  try {
    await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener('abort', abort);
    work.catch(() => undefined);
  }
  signal.throwIfAborted();
}
