import type { PoolActivities } from '../core/activities.js';
import {
  attemptName,
  type AttemptFailed,
  type AttemptOutcome,
  type AttemptPhases,
  type AttemptRequest,
} from '../core/attempt.js';
import { AnnealError } from '../core/failures.js';
import { sortCancellation } from './attempt-signals.js';
import { createBeganReport, type BeganReportDeps } from './began-report.js';
import type { LineageWriter } from './lineage.js';
import type { ActivityContext } from './ports/activity-context.js';
import type { AttemptExecutor, AttemptProgress, StreamedMetric } from './ports/executor.js';
import type { Executions } from './ports/executions.js';
import { settleSlot } from './settle-slot.js';
import type { StepCache } from './step-cache.js';
import type { StepTracking } from './tracking-step.js';

/** What {@link createPoolActivities} is made of. */
export interface PoolActivityDeps extends BeganReportDeps {
  /** The executor of a pool, by the pool's name. */
  readonly executorOf: (pool: string) => AttemptExecutor;
  readonly tracking?: StepTracking;
  readonly cache: StepCache;
  readonly lineage?: LineageWriter;
  readonly executions: Executions;
  readonly context: () => ActivityContext;
}

const HEARTBEAT_MS = 2_000;
/** A heartbeat is a call of the server: an attempt that is over sooner than this makes none. */
const FIRST_HEARTBEAT_MS = 250;

/** The activities of a pool's workers. */
export function createPoolActivities(deps: PoolActivityDeps): PoolActivities {
  return {
    executeAttempt: async (request, slot) => {
      const outcome = await executeAttempt(deps, request);
      const { workflowId: runId } = deps.context();
      await Promise.all([
        outcome.kind === 'succeeded' && deps.lineage?.recordStep({ request, runId, outcome }),
        slot !== undefined && settleSlot(deps.cache, { slot, request, runId, outcome }),
      ]);
      return outcome;
    },
    commandAttempt: async ({ attempt, command, answerWithinMs: withinMs }) => {
      const context = deps.context();
      const executor = deps.executorOf(attempt.pool);
      if (!executor.command)
        throw new AnnealError('InvalidInput', `Pool "${attempt.pool}" hands no commands to running steps.`);
      const { signal } = context;
      const { executionId } = attempt;
      return await executor.command(nameOf(context, attempt), command, { executionId, withinMs, signal });
    },
    endAttempt: async (request) => {
      const context = deps.context();
      const beat = setInterval(() => context.heartbeat(), HEARTBEAT_MS);
      try {
        await deps.executorOf(request.pool).end(nameOf(context, request), {
          graceMs: request.stopGraceMs,
          executionId: request.executionId,
        });
      } finally {
        clearInterval(beat);
      }
    },
  };
}

async function executeAttempt(deps: PoolActivityDeps, request: AttemptRequest): Promise<AttemptOutcome> {
  const context = deps.context();
  const name = nameOf(context, request);
  let progress: AttemptProgress = { phase: 'queued', sinceMs: deps.clock.nowMs(), adopted: false };
  const beat = () => context.heartbeat({ attempt: name, callId: request.callId, ...progress });
  const first = setTimeout(beat, FIRST_HEARTBEAT_MS);
  const timer = setInterval(beat, HEARTBEAT_MS);
  const began = createBeganReport(deps, { context, request });
  const startedAtMs = deps.clock.nowMs();
  try {
    return await runTracked(deps, {
      context,
      request,
      name,
      onProgress: (next) => {
        progress = next;
        began.see(next);
      },
    });
  } catch (error) {
    if (context.signal.aborted) throw error;
    // It may run on: an outcome lets the next attempt start, so this one is ended first. Where that fails, Temporal tries again and adopts.
    await deps.executorOf(request.pool).end(name, {
      graceMs: request.stopGraceMs,
      executionId: request.executionId,
    });
    const found = await findQuietly(deps, request, { name, signal: context.signal });
    // That it was ended here says nothing of why.
    if (typeof found === 'object' && (found.kind === 'succeeded' || found.code !== 'AttemptKilled'))
      return found;
    return outcomeOfError(error, { request, name, startedAtMs, endedAtMs: deps.clock.nowMs() });
  } finally {
    clearTimeout(first);
    clearInterval(timer);
    began.stop();
  }
}

interface TrackedAttempt {
  readonly context: ActivityContext;
  readonly request: AttemptRequest;
  readonly name: string;
  readonly onProgress: (progress: AttemptProgress) => void;
}

/**
 * Runs the attempt between opening and closing its MLflow run. One that was launched before is never held up by MLflow, and never
 * fails by it: its command has its environment already.
 */
async function runTracked(deps: PoolActivityDeps, attempt: TrackedAttempt): Promise<AttemptOutcome> {
  const { context, request, name, onProgress } = attempt;
  const { workflowId, epoch } = context;
  const executor = deps.executorOf(request.pool);
  const found = await executor.find({ name, executionId: request.executionId }, context.signal);
  if (typeof found === 'object') return await trackFound(deps, attempt, found);
  const opening = { request, name, runId: workflowId };
  const opened = await (found === 'running'
    ? openQuietly(deps, { ...opening, signal: shortPatience(context) })
    : deps.tracking?.openStepRun(opening));
  const curve = createCurve(deps.tracking, opened?.runId);
  const signals = sortCancellation(context.signal, { workflowId, runId: epoch }, deps.executions);
  const owner = { namespace: context.namespace, epoch };
  const launch = { request, name, runId: workflowId, environment: opened?.environment ?? {}, owner };
  try {
    let phases: AttemptPhases | undefined;
    const ended = await executor.run(launch, {
      ...signals,
      onProgress,
      onPhases: (measured) => void (phases = measured),
      onMetrics: curve.add,
    });
    const outcome = phases === undefined ? ended : { ...ended, phases };
    await curve.flush();
    if (!opened) return outcome;
    await closeQuietly(deps, { request, trackingRunId: opened.runId, outcome });
    return { ...outcome, trackingRunId: opened.runId };
  } catch (error) {
    if (signals.cancelled.aborted && opened)
      await closeQuietly(deps, {
        request,
        trackingRunId: opened.runId,
        outcome: { kind: 'cancelled', endedAtMs: deps.clock.nowMs() },
      });
    throw error;
  }
}

/** An attempt that had ended before this call of the activity: its MLflow run is brought up to date where MLflow answers. */
async function trackFound(
  deps: PoolActivityDeps,
  { context, request, name }: TrackedAttempt,
  outcome: AttemptOutcome,
): Promise<AttemptOutcome> {
  const signal = shortPatience(context);
  const opened = await openQuietly(deps, { request, name, runId: context.workflowId, signal });
  if (!opened) return outcome;
  await closeQuietly(deps, { request, trackingRunId: opened.runId, outcome, signal });
  return { ...outcome, trackingRunId: opened.runId };
}

/** Time that an attempt which was launched before waits for MLflow. */
const SHORT_PATIENCE_MS = 30_000;

function shortPatience({ signal }: ActivityContext): AbortSignal {
  return AbortSignal.any([signal, AbortSignal.timeout(SHORT_PATIENCE_MS)]);
}

async function openQuietly(
  deps: PoolActivityDeps,
  opening: Parameters<StepTracking['openStepRun']>[0],
): ReturnType<StepTracking['openStepRun']> {
  try {
    return await deps.tracking?.openStepRun(opening);
  } catch {
    return undefined;
  }
}

/** What the store knows; a store that does not answer knows nothing. */
async function findQuietly(
  deps: PoolActivityDeps,
  { pool, executionId }: AttemptRequest,
  { name, signal }: { readonly name: string; readonly signal: AbortSignal },
): Promise<'running' | AttemptOutcome | undefined> {
  try {
    return await deps.executorOf(pool).find({ name, executionId }, signal);
  } catch {
    return undefined;
  }
}

/** Time that an attempt that has ended waits for its last points to arrive. */
const FLUSH_MS = 30_000;

/** Points of the metrics stream go to MLflow in order, off the path of the attempt; what cannot be sent is sent again with the next. */
function createCurve(tracking: StepTracking | undefined, runId: string | undefined) {
  let unsent: StreamedMetric[] = [];
  let sending: Promise<void> | undefined;
  const sendAll = async () => {
    while (tracking && runId !== undefined && unsent.length > 0) {
      const points = unsent;
      unsent = [];
      try {
        await tracking.logPoints(runId, points);
      } catch {
        unsent = [...points, ...unsent];
        return;
      }
    }
  };
  const send = () =>
    (sending ??= sendAll().finally(() => {
      sending = undefined;
    }));
  return {
    add: (points: readonly StreamedMetric[]) => {
      unsent.push(...points);
      void send();
    },
    flush: async () => {
      let timer: NodeJS.Timeout | undefined;
      const enough = new Promise<void>((resolve) => {
        timer = setTimeout(resolve, FLUSH_MS);
      });
      await Promise.race([send().then(send), enough]);
      clearTimeout(timer);
    },
  };
}

/** The attempt has ended: MLflow being away must not change how. What stays open is closed with the run. */
async function closeQuietly(
  deps: PoolActivityDeps,
  closing: Parameters<StepTracking['closeStepRun']>[0],
): Promise<void> {
  try {
    await deps.tracking?.closeStepRun(closing);
  } catch {
    return;
  }
}

function nameOf(
  context: ActivityContext,
  request: Pick<AttemptRequest, 'step' | 'index' | 'attempt'>,
): string {
  const { namespace, workflowId, epoch } = context;
  return attemptName({
    namespace,
    workflowId,
    epoch,
    step: request.step,
    index: request.index,
    attempt: request.attempt,
  });
}

/** An error that is not an outcome becomes one, so that it spends the budget it belongs to instead of Temporal's endless retry. */
function outcomeOfError(
  error: unknown,
  attempt: {
    readonly request: AttemptRequest;
    readonly name: string;
    readonly startedAtMs: number;
    readonly endedAtMs: number;
  },
): AttemptFailed {
  const known = error instanceof AnnealError;
  const text = error instanceof Error ? error.message : String(error);
  return {
    kind: 'failed',
    attemptName: attempt.name,
    code: known ? error.code : 'Unknown',
    message: known ? text : `Step "${attempt.request.step}" could not be run: ${text}.`,
    logTail: [],
    startedAtMs: attempt.startedAtMs,
    endedAtMs: attempt.endedAtMs,
  };
}
