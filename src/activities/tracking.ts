import type { SystemActivities } from '../core/activities.js';
import { canonicalJson, type Json } from '../core/json.js';
import { TAGS } from '../core/registry.js';
import type { ActivityContext, Clock } from './ports/activity-context.js';
import type { ReadCode } from './ports/code.js';
import type { Tracking } from './ports/tracking.js';
import { buildGitTags } from './tracking-code.js';
import { withHeartbeat } from './tracking-context.js';
import { temporalTags, workflowUrl } from './tracking-links.js';

/** What {@link createTrackingActivities} is made of. */
export interface TrackingActivityDeps {
  readonly tracking: Tracking;
  readonly clock: Pick<Clock, 'nowMs'>;
  readonly context: () => ActivityContext;
  readonly project: string;
  /** Base of Temporal's Web UI, without slash at the end. */
  readonly temporalUiUrl?: string;
  /** Default: nothing is known of builds. */
  readonly readCode?: ReadCode;
}

/** The part of {@link SystemActivities} that opens a run's tracking. */
export function createTrackingActivities(deps: TrackingActivityDeps): Pick<SystemActivities, 'openTracking'> {
  return {
    openTracking: (input) => withHeartbeat(deps.context(), (signal) => openTracking(deps, input, signal)),
  };
}

/** The experiment carries the pipeline's name; the parent run is one per execution id and is named after the run. */
async function openTracking(
  deps: TrackingActivityDeps,
  input: Parameters<SystemActivities['openTracking']>[0],
  signal: AbortSignal,
): Promise<{ experimentId: string; parentRunId: string }> {
  const { tracking, clock } = deps;
  const context = deps.context();
  const code = await deps.readCode?.({ build: input.build });
  const tags = {
    // Without it MLflow's UI guesses, and may guess that this is about language models.
    'mlflow.experimentKind': 'custom_model_development',
    [TAGS.pipeline]: input.pipeline,
  };
  const experimentId = await tracking.ensureExperiment({ name: input.pipeline, tags }, signal);
  const run = await tracking.ensureRun(
    {
      experimentId,
      key: input.executionId,
      name: context.workflowId,
      startedAtMs: clock.nowMs(),
      tags: { ...buildParentTags(deps, context, input), ...buildGitTags(code?.origin) },
    },
    signal,
  );
  // A reset opens it again, under another build.
  if (run.status !== 'RUNNING') await tracking.setStatus({ runId: run.runId, status: 'RUNNING' }, signal);
  await tracking.log({ runId: run.runId, parameters: toParameterTexts(input.parameters) }, signal);
  return { experimentId, parentRunId: run.runId };
}

function buildParentTags(
  deps: TrackingActivityDeps,
  context: ActivityContext,
  input: Parameters<SystemActivities['openTracking']>[0],
): { [name: string]: string } {
  const { temporalUiUrl, project } = deps;
  const url = temporalUiUrl === undefined ? undefined : workflowUrl(temporalUiUrl, context);
  const tags: { [name: string]: string | undefined } = {
    'mlflow.source.type': 'JOB',
    'mlflow.source.name': input.pipeline,
    'mlflow.user': input.owner,
    'mlflow.note.content': buildNote(input.pipeline, context.workflowId, url),
    ...temporalTags(context, url),
    [TAGS.runId]: context.workflowId,
    [TAGS.executionId]: input.executionId,
    [TAGS.pipeline]: input.pipeline,
    'anneal.project': project,
    'anneal.build': input.build,
    'anneal.retry_of': input.retryOf,
    'anneal.owner': input.owner,
    'anneal.tags': input.tags.length === 0 ? undefined : input.tags.join(','),
  };
  return Object.fromEntries(
    Object.entries(tags).filter((tag): tag is [string, string] => tag[1] !== undefined),
  );
}

/** Markdown: a run's note is the only place in MLflow's UI where an address becomes a link. */
function buildNote(pipeline: string, runId: string, url: string | undefined): string {
  const what = `Pipeline **${pipeline}**, run \`${runId}\`.`;
  return url === undefined ? what : `${what}\n\n[Open in Temporal](${url})`;
}

/** Texts as they are, everything else as JSON. */
export function toParameterTexts(parameters: { readonly [name: string]: Json }): { [name: string]: string } {
  return Object.fromEntries(
    Object.entries(parameters).map(([name, value]) => [
      name,
      typeof value === 'string' ? value : canonicalJson(value),
    ]),
  );
}
