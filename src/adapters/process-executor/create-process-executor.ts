import type { AttemptExecutor, AttemptLaunch, AttemptWatch } from '../../activities/ports/executor.js';
import type { AttemptOutcome } from '../../core/attempt.js';
import { hasErrorCode } from '../file-store/store-errors.js';
import { s3Environment } from '../s3-store/s3-environment.js';
import { endProcess, isSameProcess } from '../process-identity.js';
import { attemptPaths, createAttemptDirectory, removeAttemptDirectory } from './attempt-directory.js';
import type { AttemptSpec } from './attempt-spec.js';
import type { AttemptState } from './attempt-state.js';
import { readAttemptState } from './attempt-state.js';
import { buildAttemptSpec } from './build-attempt-spec.js';
import { sendCommand, untilAnswersAreRead } from './command-inbox.js';
import { closeAttempt, endAttempt, waitUntil } from './end-attempt.js';
import type { ProcessExecutorDeps } from './executor-deps.js';
import { findAttempt } from './find-attempt.js';
import { lastLineSentence, readLogTail } from '../attempt-files/log-tail.js';
import { readSecrets } from './secrets.js';
import type { StartedSupervisor } from './start-supervisor.js';
import { startSupervisor } from './start-supervisor.js';
import { readStoredOutcome } from '../attempt-files/stored-outcome.js';
import { throwIfAborted, watchAttempt } from './watch-attempt.js';

/** Runs attempts as processes of this machine, each under a supervisor of its own that outlives this process. */
export function createProcessExecutor(deps: ProcessExecutorDeps): AttemptExecutor {
  return {
    run: async (launch, watch) => {
      try {
        return await runAttempt(deps, launch, watch);
      } catch (error) {
        if (watch.cancelled.aborted) {
          const { stopGraceMs: graceMs, executionId } = launch.request;
          await endAttempt(deps, launch.name, { graceMs, executionId });
          watch.cancelled.throwIfAborted();
        }
        watch.detached.throwIfAborted();
        throw error;
      }
    },
    end: async (name, options) => await endAttempt(deps, name, options),
    find: async (attempt) => await findAttempt(deps, attempt),
    command: async (name, command, wait) =>
      await sendCommand(attemptPaths(deps.attemptsDir, name), command, { ...wait, nowMs: deps.clock.nowMs }),
  };
}

/** A supervisor that has written its result has nothing more to do. */
const EXIT_MS = 5_000;
/** What a supervisor may take to start on a busy machine before another one is started: all but one leave at once. */
const START_MS = 10_000;
const STARTS = 3;

async function runAttempt(
  deps: ProcessExecutorDeps,
  launch: AttemptLaunch,
  watch: AttemptWatch,
): Promise<AttemptOutcome> {
  const paths = attemptPaths(deps.attemptsDir, launch.name);
  const place = { executionId: launch.request.executionId, name: launch.name };
  let created = false;
  let started: StartedSupervisor | undefined;
  for (let starts = 0; ;) {
    throwIfAborted(watch);
    const state = await readAttemptState(paths);
    if (state.kind === 'absent' || state.kind === 'unsupervised') {
      // Asked after each look at the directory: an attempt that ended is in the store before its directory goes.
      const stored = await readStoredOutcome(deps.store, place);
      if (stored) {
        await removeAttemptDirectory(deps.attemptsDir, launch.name);
        return stored;
      }
    }
    if (state.kind === 'absent') {
      const spec = await buildAttemptSpec(deps, launch, watch);
      if ('kind' in spec) return spec;
      throwIfAborted(watch);
      created = await createAttemptDirectory(deps.attemptsDir, launch.name, spec);
    } else if (state.kind === 'unsupervised') {
      if (++starts > STARTS) return await giveUp(deps, state.spec);
      started = await startSupervisor({
        ...deps,
        paths,
        secrets: {
          ...s3Environment(placesOf(state.spec), deps.env),
          ...(await readSecrets(state.spec.request.env, deps)),
        },
      });
      await waitUntil(
        async () => started?.hasEnded() === true || (await readAttemptState(paths)).kind !== 'unsupervised',
        START_MS,
      );
    } else {
      const child = started === undefined ? {} : { child: started.child };
      const end = await watchAttempt({
        paths,
        spec: state.spec,
        watch,
        adopted: !created,
        clock: deps.clock,
        ...child,
      }).catch(absentWhenRemoved);
      // Removed by another worker, who recorded the outcome first.
      if (end.kind === 'ended' || end.kind === 'lost') return await finishAttempt(deps, end);
    }
  }
}

/** Where the supervisor reads and writes. */
function placesOf({ storeUri, request }: AttemptSpec): string[] {
  return [storeUri, ...Object.values(request.inputs).map(({ uri }) => uri)];
}

async function finishAttempt(
  deps: ProcessExecutorDeps,
  end: Extract<AttemptState, { kind: 'ended' | 'lost' }>,
): Promise<AttemptOutcome> {
  const { spec, supervisor } = end;
  if (end.kind === 'ended' && !(await waitUntil(async () => !(await isSameProcess(supervisor)), EXIT_MS)))
    await endProcess(supervisor, { graceMs: 0 });
  const paths = attemptPaths(deps.attemptsDir, spec.name);
  await untilAnswersAreRead(paths);
  return await closeAttempt(
    deps,
    { spec, paths },
    {
      code: 'AttemptLost',
      message: `Step "${spec.request.step}" was lost: its supervisor (process ${supervisor.pid}) disappeared without an outcome.`,
    },
  );
}

async function giveUp(deps: ProcessExecutorDeps, spec: AttemptSpec): Promise<AttemptOutcome> {
  const paths = attemptPaths(deps.attemptsDir, spec.name);
  const said = lastLineSentence(await readLogTail(paths.supervisorLog));
  return await closeAttempt(
    deps,
    { spec, paths },
    {
      code: 'AttemptLost',
      message: `Step "${spec.request.step}": its supervisor did not start in ${STARTS} tries.${said}`,
    },
  );
}

function absentWhenRemoved(error: unknown): AttemptState {
  if (hasErrorCode(error, 'ENOENT')) return { kind: 'absent' };
  throw error;
}
