import type { SystemActivities } from '../core/activities.js';
import type { ArtifactStore } from '../core/artifact-store.js';
import { storeKeys } from '../core/artifact-store.js';
import { whoIsTold, type NotifyOptions } from '../core/notification-routes.js';
import { buildRunNotification, type RunEvent } from '../core/notifications.js';
import { TAGS } from '../core/registry.js';
import type { CallState, CallStatus, RunStatus } from '../core/run.js';
import type { ScheduleView, SkippedTime } from '../core/schedule-account.js';
import type { SweepState } from '../core/sweep.js';
import type { ActivityContext, Clock } from './ports/activity-context.js';
import type { EndedRun, RunDirectory, StuckRun } from './ports/run-directory.js';
import type { ScheduleDirectory } from './ports/schedule-directory.js';
import type { TriggerDirectory } from './ports/trigger-directory.js';
import type { Tracking } from './ports/tracking.js';
import { sweepSchedules, type ScheduleSweepDeps } from './sweep-schedules.js';
import { sweepTriggers } from './sweep-triggers.js';
import { withHeartbeat } from './tracking-context.js';

/** What {@link createSweep} is made of. */
export interface SweepDeps extends Pick<SystemActivities, 'notify' | 'closeRun'> {
  readonly project: string;
  readonly directory: RunDirectory;
  readonly schedules: ScheduleDirectory;
  readonly triggers: TriggerDirectory;
  readonly store: Pick<ArtifactStore, 'readBytes' | 'putBytes' | 'remove'>;
  readonly tracking?: Tracking;
  /** Who is told of a pipeline's runs. */
  readonly routesOf: (of: {
    readonly pipeline: string;
    readonly build?: string;
  }) => Promise<{ readonly pipeline: NotifyOptions; readonly project: NotifyOptions }>;
  readonly clock: Pick<Clock, 'nowMs'>;
  readonly context: () => ActivityContext;
  readonly log: (message: string) => void;
}

/** How far the first sweep looks back, and how long what cannot be finished is tried. */
const LOOK_BACK_MS = 24 * 3_600_000;
/** What ended before that is news to nobody when a project is first swept. */
const NEWS_MS = 3_600_000;
/** The server's list may lag behind. */
const OVERLAP_MS = 120_000;
/** How long a worker of the run's build is waited for, which can tell more of the run than the server. */
const ASK_FOR_MS = 600_000;

/** The part of {@link SystemActivities} that accounts for what runs no code. Repeating a sweep is safe. */
export function createSweep(deps: SweepDeps): Pick<SystemActivities, 'sweep'> {
  return { sweep: (state) => withHeartbeat(deps.context(), (signal) => sweep(deps, state, signal)) };
}

async function sweep(deps: SweepDeps, state: SweepState, signal: AbortSignal): Promise<SweepState> {
  const { project, schedules, triggers, store, clock, log } = deps;
  const tell: ScheduleSweepDeps['tell'] = async (view, skipped) => await tellSkipped(deps, view, skipped);
  const alone = async (what: string, work: Promise<void>) => {
    try {
      await work;
    } catch (error) {
      // One that fails keeps no other from being done.
      signal.throwIfAborted();
      log(`${what} were not looked at: ${String(error)}`);
    }
  };
  await alone('schedules', sweepSchedules({ project, schedules, store, clock, log, tell }));
  await alone('triggers', sweepTriggers({ project, triggers, store, clock, log }, signal));
  return {
    ...(await sweepEnded(deps, state, signal)),
    stuck: await sweepStuck(deps, state.stuck),
  };
}

async function sweepEnded(
  deps: SweepDeps,
  state: SweepState,
  signal: AbortSignal,
): Promise<Pick<SweepState, 'watermarkMs' | 'unfinished'>> {
  const nowMs = deps.clock.nowMs();
  const isFirst = state.watermarkMs === 0;
  const sinceMs = isFirst ? nowMs - LOOK_BACK_MS : state.watermarkMs - OVERLAP_MS;
  const left: EndedRun[] = [];
  for await (const run of deps.directory.listEnded(sinceMs)) {
    signal.throwIfAborted();
    const isNews = !isFirst || run.endedAtMs > nowMs - NEWS_MS;
    try {
      await account(deps, { run, isNews, again: state.unfinished.includes(run.executionId) }, signal);
    } catch (error) {
      signal.throwIfAborted();
      // One that cannot be accounted for keeps no other from being told.
      if (run.endedAtMs < nowMs - LOOK_BACK_MS) deps.log(`gave up on run ${run.runId}: ${String(error)}`);
      else left.push(run);
    }
  }
  return {
    watermarkMs: Math.min(nowMs, ...left.map((run) => run.endedAtMs)),
    unfinished: left.map((run) => run.executionId),
  };
}

interface Ended {
  readonly run: EndedRun;
  readonly isNews: boolean;
  /** It was told and may have its record, but is not closed everywhere. */
  readonly again: boolean;
}

/** Tells people first: what was told once is not told again, whatever happens next. */
async function account(deps: SweepDeps, { run, isNews, again }: Ended, signal: AbortSignal): Promise<void> {
  const record = await readRecord(deps, run.executionId);
  if (record?.state === run.state && !again) return;
  const answer = record === undefined ? await deps.directory.ask(run) : undefined;
  const known = record ?? answer?.status;
  const reason = run.state === 'terminated' ? await deps.directory.readReason(run) : undefined;
  const status = endStatus(known ?? unknownStatus(deps.project, run), run, reason);
  const event = EVENTS[run.state];
  if (event !== undefined && isNews) {
    const routes = await deps.routesOf({ pipeline: run.pipeline, build: status.build });
    const to = whoIsTold(event, routes.pipeline, routes.project);
    if (to.length > 0) await deps.notify(buildRunNotification({ event, status, to, epoch: run.epoch }));
  }
  if (known !== undefined) {
    const { journal } = answer ?? {};
    await deps.closeRun({ status, state: run.state, ...(journal && { journal }) });
  } else if (deps.clock.nowMs() - run.endedAtMs < ASK_FOR_MS)
    throw new Error('no worker of its build can tell of it yet');
  else await closeTracked(deps, run, signal);
}

const EVENTS: { readonly [state in RunStatus['state']]?: RunEvent } = {
  failed: 'failure',
  terminated: 'terminated',
  'timed-out': 'timed-out',
};

async function readRecord({ store }: SweepDeps, executionId: string): Promise<RunStatus | undefined> {
  const bytes = await store.readBytes(storeKeys.run(executionId));
  return bytes === undefined ? undefined : (JSON.parse(Buffer.from(bytes).toString('utf8')) as RunStatus);
}

/** The last that the run knew of itself, ended as the server says. */
function endStatus(known: RunStatus, run: EndedRun, reason: string | undefined): RunStatus {
  const { state, endedAtMs } = run;
  const calls = known.calls.map((call) => endCall(call, endedAtMs));
  const counts: { [state in CallState]?: number } = { ...known.counts };
  for (const [at, call] of known.calls.entries()) {
    const now = calls[at]?.state ?? call.state;
    if (now === call.state) continue;
    counts[call.state] = (counts[call.state] ?? 1) - 1;
    counts[now] = (counts[now] ?? 0) + 1;
  }
  const said =
    state === 'terminated'
      ? `The run was terminated${reason === undefined || reason === '' ? '.' : `: ${reason}`}`
      : 'The run took longer than its time limit.';
  const ownFailure = state === 'terminated' || state === 'timed-out' ? undefined : known.failure;
  const { result: _never, failure: _before, ...rest } = known;
  return {
    ...rest,
    state,
    endedAtMs,
    calls,
    counts,
    approvals: [],
    ...(state === 'cancelled'
      ? {}
      : {
          failure: ownFailure ?? { code: 'Unknown', message: state === 'failed' ? 'The run failed.' : said },
        }),
  };
}

function endCall(call: CallStatus, endedAtMs: number): CallStatus {
  return call.endedAtMs === undefined ? { ...call, state: 'cancelled', endedAtMs } : call;
}

function unknownStatus(project: string, run: EndedRun | StuckRun): RunStatus {
  const { runId, executionId, pipeline, startedAtMs } = run;
  return {
    ...{ runId, executionId, pipeline, project, startedAtMs, build: '', state: 'running', parameters: {} },
    ...{ calls: [], counts: {}, continuations: 0, approvals: [] },
  };
}

/** Without anything but the server's word: MLflow's runs of it end; there is no record, so that `describe` reads the history. */
async function closeTracked(
  { tracking }: SweepDeps,
  { pipeline, executionId, endedAtMs, state }: EndedRun,
  signal: AbortSignal,
): Promise<void> {
  if (tracking === undefined) return;
  const experimentId = await tracking.ensureExperiment({ name: pipeline, tags: {} }, signal);
  const search = { experimentId, tag: TAGS.executionId, value: executionId };
  for (const { runId } of await tracking.findRunning(search, signal)) {
    await tracking.log({ runId, tags: { 'anneal.status': state } }, signal);
    await tracking.setStatus({ runId, status: 'KILLED', endedAtMs }, signal);
  }
}

/** Each stuck run is told once. @returns those that are stuck now. */
async function sweepStuck(deps: SweepDeps, told: readonly string[]): Promise<readonly string[]> {
  const stuck = await deps.directory.listStuck();
  for (const run of stuck) {
    if (told.includes(run.executionId)) continue;
    const status = unknownStatus(deps.project, run);
    const routes = await deps.routesOf({ pipeline: run.pipeline });
    const to = whoIsTold('stuck', routes.pipeline, routes.project);
    if (to.length > 0)
      await deps.notify(buildRunNotification({ event: 'stuck', status, to, why: run.why, epoch: run.epoch }));
  }
  return stuck.map(({ executionId }) => executionId);
}

/** Each record is there; who is told of the pipeline's runs is told of them together. */
async function tellSkipped(
  deps: SweepDeps,
  { pipeline, scheduleId }: ScheduleView,
  skipped: readonly SkippedTime[],
): Promise<void> {
  const routes = await deps.routesOf({ pipeline });
  const to = whoIsTold('schedule-skipped', routes.pipeline, routes.project);
  const [first, last] = [skipped[0], skipped.at(-1)];
  if (to.length === 0 || first === undefined || last === undefined) return;
  await deps.notify({
    id: `skipped-${first.atMs}-${last.atMs}`,
    event: 'schedule-skipped',
    to,
    subject: `${pipeline} did not start at its time`,
    text: explainSkips(pipeline, skipped),
    runId: scheduleId,
    executionId: `schedule-${pipeline}`,
    pipeline,
  });
}

/** Times that a message names. */
const NAMED_TIMES = 10;

function explainSkips(pipeline: string, skipped: readonly SkippedTime[]): string {
  const times = skipped.length === 1 ? '1 time' : `${skipped.length} times`;
  const more = skipped.length - NAMED_TIMES;
  return [
    `${times} of the schedule of ${pipeline} passed without a run:`,
    ...skipped
      .slice(0, NAMED_TIMES)
      .map(({ atMs, text }) => `${new Date(atMs).toISOString().slice(0, 16).replace('T', ' ')} UTC: ${text}`),
    ...(more > 0 ? [`and ${more} more`] : []),
  ].join('\n');
}
