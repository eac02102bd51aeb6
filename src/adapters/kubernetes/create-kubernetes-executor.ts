import type { AttemptExecutor, AttemptLaunch, AttemptWatch } from '../../activities/ports/executor.js';
import type { AttemptOutcome } from '../../core/attempt.js';
import { AnnealError } from '../../core/failures.js';
import { sendStoredCommand } from '../attempt-files/stored-commands.js';
import { readStoredOutcome } from '../attempt-files/stored-outcome.js';
import { asAnnealError } from './api-refusal.js';
import { failedOutcome, readVerdict, recordFailure } from './attempt-verdict.js';
import { createThrottle } from './create-throttle.js';
import { createEnding, isAlive, type Ending } from './end-attempt.js';
import type { KubernetesExecutorDeps } from './executor-deps.js';
import { JOB_TTL } from './labels.js';
import { checkOwnership, launchJob } from './launch-job.js';
import { readLastLines } from './read-last-lines.js';
import { watchJob, type WatchedEnd } from './watch-job.js';

/** Runs attempts as Jobs, one pod each. Several executors, on several machines, may serve the same project. */
export function createKubernetesExecutor(deps: KubernetesExecutorDeps): AttemptExecutor {
  const throttle = createThrottle(deps.settings.jobsPerSecond, () => performance.now());
  const ending = createEnding(deps);
  return {
    run: async (launch, watch) => {
      try {
        return await runAttempt(deps, { launch, watch, throttle, ending });
      } catch (error) {
        if (watch.cancelled.aborted) {
          const { stopGraceMs: graceMs, executionId } = launch.request;
          await ending.end(launch.name, { graceMs, executionId });
          watch.cancelled.throwIfAborted();
        }
        watch.detached.throwIfAborted();
        throw asAnnealError(error, deps.api.namespace);
      }
    },
    end: async (name, options) => {
      try {
        await ending.end(name, options);
      } catch (error) {
        throw asAnnealError(error, deps.api.namespace);
      }
    },
    find: async ({ name, executionId }, signal) => {
      const stored = await readStoredOutcome(deps.store, { executionId, name });
      // One that was recorded by who was to end it may run on: whoever runs it again ends it first.
      if (stored) return (await ending.mayRunOn(name, stored)) ? 'running' : stored;
      await deps.watcher.ready(signal);
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
  readonly ending: Ending;
}

async function runAttempt(deps: KubernetesExecutorDeps, running: Running): Promise<AttemptOutcome> {
  const { watcher, store, clock } = deps;
  const { launch, watch, ending } = running;
  const { request, name } = launch;
  const place = { executionId: request.executionId, name };
  const signal = AbortSignal.any([watch.cancelled, watch.detached]);
  const beganMs = clock.nowMs();
  signal.throwIfAborted();
  await watcher.ready(signal);
  const stored = await readStoredOutcome(store, place);
  if (stored) {
    if (await ending.mayRunOn(name, stored)) await ending.endRest(name, request.stopGraceMs);
    return stored;
  }
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
      await ending.endRest(name, request.stopGraceMs);
      return ended;
    }
    signal.throwIfAborted();
    const end = await watchJob(deps, { launch, job, adopted: !created, watch });
    return await settle(deps, { launch, ending }, end);
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
  { launch, ending }: Pick<Running, 'launch' | 'ending'>,
  end: WatchedEnd,
): Promise<AttemptOutcome> {
  const { api, store, watcher, clock, log } = deps;
  const { request, name } = launch;
  const place = { executionId: request.executionId, name };
  const { job } = watcher.view(name);
  const uid = job?.metadata?.uid;
  if (end.kind === 'stored') {
    if (end.outcome.kind === 'failed' && isAlive(watcher.view(name)))
      await ending.endRest(name, request.stopGraceMs);
    else if (uid !== undefined)
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
    if (end.alive) await ending.endRest(name, request.stopGraceMs);
    else if (uid !== undefined) await api.setJobTtl(name, uid, JOB_TTL.settled).catch(() => undefined);
  } catch (error) {
    // Who asked ends it again, which must not look like the reason.
    await judge();
    throw error;
  }
  return await judge();
}
