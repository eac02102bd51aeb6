import type { ArtifactStore } from '../core/artifact-store.js';
import type { AttemptRequest } from '../core/attempt.js';
import { TAGS } from '../core/registry.js';
import type { ActivityContext, Clock } from './ports/activity-context.js';
import type { ReadCode } from './ports/code.js';
import type { StreamedMetric } from './ports/executor.js';
import type { TrackedRun, TrackedStatus, Tracking } from './ports/tracking.js';
import { toParameterTexts } from './tracking.js';
import { buildCodeTags } from './tracking-code.js';
import { CURVE_TAG, readCurveStart, startCurve, type CurveStart } from './tracking-curve.js';
import { loadDatasets } from './tracking-datasets.js';
import { temporalTags, workflowUrl } from './tracking-links.js';
import {
  buildOutcomeTags,
  readCostPoint,
  readFinalMetrics,
  type TrackedOutcome,
} from './tracking-outcome.js';

/** What {@link createStepTracking} is made of. */
export interface StepTrackingDeps {
  readonly tracking: Tracking;
  readonly clock: Pick<Clock, 'nowMs'>;
  readonly context: () => ActivityContext;
  /** Base of Temporal's Web UI, without slash at the end. */
  readonly temporalUiUrl?: string;
  /** Default: nothing is known of builds. */
  readonly readCode?: ReadCode;
  /** Where the manifests are that tell columns and rows of data sets; default: they are not known. */
  readonly store?: Pick<ArtifactStore, 'readBytes'>;
}

/** An attempt whose step is tracked. */
export interface StepRunOpening {
  readonly request: AttemptRequest;
  /** Name of the attempt. */
  readonly name: string;
  /** Human run id (workflow id). */
  readonly runId: string;
  /** How long the call may wait; default: as long as the activity. */
  readonly signal?: AbortSignal;
}

/** An attempt that ended. */
export interface StepRunClosing {
  readonly request: AttemptRequest;
  /** The tracked run. */
  readonly trackingRunId: string;
  readonly outcome: TrackedOutcome;
  /** How long the call may wait; default: as long as the activity. */
  readonly signal?: AbortSignal;
}

/** Tracking of steps, for the worker of a pool. Each call waits for a tracking server that is away; see {@link Tracking}. */
export interface StepTracking {
  /**
   * The step's run, one per call of the step and nested in the run of the pipeline, opened again for a later attempt; and the
   * environment that makes the command log below it. Undefined where the pipeline's run is not tracked.
   */
  openStepRun(
    opening: StepRunOpening,
  ): Promise<
    { readonly runId: string; readonly environment: { readonly [name: string]: string } } | undefined
  >;
  /** Logs points of the attempt's stream but those that an earlier attempt logged; so each step of a curve has one point. */
  logPoints(runId: string, points: readonly StreamedMetric[]): Promise<void>;
  /** Writes what the attempt made and ends its run and whatever its command left open below it. */
  closeStepRun(closing: StepRunClosing): Promise<void>;
}

const CLOSE_AFTER_CANCEL_MS = 10_000;

/** Makes {@link StepTracking}. */
export function createStepTracking(deps: StepTrackingDeps): StepTracking {
  const curves = new Map<string, CurveStart>();
  return {
    openStepRun: async (opening) => {
      if (opening.request.tracking === undefined) return undefined;
      const { run, curve } = await openStepRun(deps, opening, opening.request.tracking);
      curves.set(run.runId, curve);
      return { runId: run.runId, environment: buildEnvironment(deps.tracking.uri, opening, run) };
    },
    logPoints: async (runId, points) => {
      const { signal } = deps.context();
      const curve = curves.get(runId) ?? readCurveStart(await deps.tracking.getRun(runId, signal));
      const fresh = points.filter(
        ({ name, step }) => step > (curve.steps[name] ?? curve.atLeast ?? -Infinity),
      );
      if (fresh.length > 0) await deps.tracking.log({ runId, points: fresh }, signal);
    },
    closeStepRun: async (closing) => {
      await closeStepRun(deps, closing);
      curves.delete(closing.trackingRunId);
    },
  };
}

async function openStepRun(
  { tracking, clock, context, temporalUiUrl, readCode, store }: StepTrackingDeps,
  { request, name, runId, signal: patience }: StepRunOpening,
  { experimentId, parentRunId }: NonNullable<AttemptRequest['tracking']>,
): Promise<{ run: TrackedRun; curve: CurveStart }> {
  const execution = context();
  const signal = patience ?? execution.signal;
  const url = temporalUiUrl === undefined ? undefined : workflowUrl(temporalUiUrl, execution);
  const run = await tracking.ensureRun(
    {
      experimentId,
      key: `${request.executionId}/${request.callId}`,
      name: request.index === 0 ? request.step : `${request.step} ${request.index + 1}`,
      parentRunId,
      startedAtMs: clock.nowMs(),
      tags: {
        'mlflow.source.type': 'JOB',
        'mlflow.source.name': `${request.pipeline}/${request.step}`,
        ...(url === undefined
          ? {}
          : {
              'mlflow.note.content': `Step **${request.step}** of run \`${runId}\`.\n\n[Open in Temporal](${url})`,
            }),
        ...temporalTags(execution, url),
        ...buildIdentityTags({ request, runId }),
        'anneal.pool': request.pool,
      },
    },
    signal,
  );
  if (run.status !== 'RUNNING') await tracking.setStatus({ runId: run.runId, status: 'RUNNING' }, signal);
  const curve = startCurve(run, name);
  const tags = {
    [TAGS.attempt]: String(request.attempt),
    'anneal.attempt_name': name,
    [CURVE_TAG]: JSON.stringify(curve),
    ...buildCodeTags(request, (await readCode?.(request)) ?? {}),
  };
  // A command that continues this run logs its own parameters, and MLflow would refuse them where ours read otherwise.
  const parameters = request.mlflow === 'resume' ? {} : toParameterTexts(request.parameters);
  await tracking.log({ runId: run.runId, tags, parameters }, signal);
  const datasets = await loadDatasets(store, request);
  if (datasets.length > 0) await tracking.logDatasets({ runId: run.runId, datasets }, signal);
  return { run, curve };
}

async function closeStepRun(
  { tracking, context }: StepTrackingDeps,
  { request, trackingRunId, outcome, signal: patience }: StepRunClosing,
): Promise<void> {
  const asked = patience ?? context().signal;
  // A cancelled attempt is closed too, but its worker does not wait long for it: closing the pipeline's run repeats this.
  const signal = asked.aborted ? AbortSignal.timeout(CLOSE_AFTER_CANCEL_MS) : asked;
  const run = await tracking.getRun(trackingRunId, signal);
  const parameters =
    outcome.kind === 'succeeded' ? toParameterTexts({ ...request.parameters, ...outcome.parameters }) : {};
  const entries = {
    parameters,
    tags: buildOutcomeTags(outcome),
    points: [...readFinalMetrics(outcome, run.latest), ...readCostPoint(request, outcome, run.latest)],
  };
  await tracking.log({ runId: trackingRunId, ...entries }, signal);
  const { endedAtMs } = outcome;
  const search = { experimentId: run.experimentId, tag: TAGS.callId, value: request.callId };
  for (const left of await tracking.findRunning(search, signal)) {
    const below = left.runId !== trackingRunId && left.tags[TAGS.executionId] === request.executionId;
    if (below) await tracking.setStatus({ runId: left.runId, status: 'KILLED', endedAtMs }, signal);
  }
  await tracking.setStatus(
    { runId: trackingRunId, status: toTrackedStatus(outcome.kind), endedAtMs },
    signal,
  );
}

function toTrackedStatus(kind: TrackedOutcome['kind']): TrackedStatus {
  if (kind === 'cancelled') return 'KILLED';
  return kind === 'succeeded' ? 'FINISHED' : 'FAILED';
}

/** MLflow applies the tags of `MLFLOW_RUN_CONTEXT` to every run that the command starts, also in another experiment. */
function buildEnvironment(
  uri: string,
  { request, name, runId }: StepRunOpening,
  run: TrackedRun,
): { [name: string]: string } {
  const tags = {
    'mlflow.parentRunId': run.runId,
    ...buildIdentityTags({ request, runId }),
    [TAGS.attempt]: String(request.attempt),
    'anneal.attempt_name': name,
  };
  return {
    MLFLOW_TRACKING_URI: uri,
    MLFLOW_EXPERIMENT_ID: run.experimentId,
    MLFLOW_RUN_CONTEXT: JSON.stringify(tags),
    ...(request.mlflow === 'resume' ? { MLFLOW_RUN_ID: run.runId } : {}),
  };
}

function buildIdentityTags({ request, runId }: Pick<StepRunOpening, 'request' | 'runId'>): {
  [name: string]: string;
} {
  return {
    [TAGS.runId]: runId,
    [TAGS.executionId]: request.executionId,
    [TAGS.pipeline]: request.pipeline,
    [TAGS.step]: request.step,
    [TAGS.callId]: request.callId,
  };
}
