import type { Experiment, MlflowClient, Run } from 'mlflow-ts-client';
import { allOf, attributeFilter, isMlflowError, MlflowError, tagFilter } from 'mlflow-ts-client';
import type { TrackedRun, Tracking } from '../../activities/ports/tracking.js';
import { REGISTRATION_KEY_TAG } from '../../core/registry.js';
import { buildDatasetInput } from './dataset-input.js';
import { createPatience, type Patience, type PatienceOptions } from './patience.js';

/** What the adapter is made of. */
export interface MlflowTrackingDeps extends PatienceOptions {
  readonly client: MlflowClient;
}

const CHOSEN_TAG = 'mlflow.anneal.chosen';

/** MLflow as {@link Tracking}. A run's key is its tag `mlflow.anneal.idempotencyKey`, which MLflow's UI hides. */
export function createMlflowTracking(deps: MlflowTrackingDeps): Tracking {
  const { client } = deps;
  const patiently = createPatience(deps);
  return {
    uri: client.server,
    ensureExperiment: (experiment, signal) =>
      patiently(signal, () => ensureExperiment(client, experiment, signal)),
    ensureRun: (run, signal) => ensureRun({ client, patiently }, run, signal),
    getRun: (runId, signal) =>
      patiently(signal, async () => toTrackedRun(await client.runs.get(runId, { signal }))),
    setStatus: ({ runId, status, endedAtMs }, signal) =>
      patiently(signal, () => client.runs.update({ runId, status, endTime: endedAtMs }, { signal })),
    log: (entries, signal) => patiently(signal, () => logEntries(client, entries, signal)),
    logDatasets: ({ runId, datasets }, signal) =>
      patiently(signal, () =>
        client.runs.logInputs({ runId, datasets: datasets.map(buildDatasetInput) }, { signal }),
      ),
    findRunning: ({ experimentId, tag, value }, signal) =>
      patiently(signal, () => {
        const filter = allOf(tagFilter(tag, value), attributeFilter('attributes.status', 'RUNNING'));
        return findRuns(client, { experimentId, filter }, signal);
      }),
  };
}

async function ensureExperiment(
  client: MlflowClient,
  { name, tags }: Parameters<Tracking['ensureExperiment']>[0],
  signal: AbortSignal,
): Promise<string> {
  const found = await client.experiments.findByName(name, { signal });
  if (found === undefined) {
    try {
      return await client.experiments.create({ name, tags }, { signal });
    } catch (error) {
      // Somebody was faster, or our own first try got through after all.
      if (!isMlflowError(error, 'RESOURCE_ALREADY_EXISTS') && !isMlflowError(error, 'WRITE_CONFLICT'))
        throw error;
    }
  }
  const experiment = found ?? (await client.experiments.findByName(name, { signal }));
  if (experiment === undefined) throw experimentGone(name);
  refuseDeleted(experiment);
  for (const [key, value] of Object.entries(tags)) {
    if (experiment.tags[key] !== undefined) continue;
    await client.experiments.setTag({ experimentId: experiment.experimentId, key, value }, { signal });
  }
  return experiment.experimentId;
}

function refuseDeleted({ name, experimentId, lifecycleStage }: Experiment): void {
  if (lifecycleStage !== 'deleted') return;
  throw new MlflowError({
    code: 'RESOURCE_ALREADY_EXISTS',
    message: `MLflow's experiment "${name}" is deleted but still holds its name. Restore it with "mlflow experiments restore -x ${experimentId}", or delete it for good with "mlflow gc".`,
  });
}

function experimentGone(name: string): MlflowError {
  const message = `MLflow says that experiment "${name}" exists and does not find it.`;
  return new MlflowError({ code: 'RESOURCE_DOES_NOT_EXIST', message, retryable: true });
}

async function ensureRun(
  { client, patiently }: { readonly client: MlflowClient; readonly patiently: Patience },
  run: Parameters<Tracking['ensureRun']>[0],
  signal: AbortSignal,
): Promise<TrackedRun> {
  const { experimentId, key, name, parentRunId, startedAtMs } = run;
  const filter = tagFilter(REGISTRATION_KEY_TAG, key);
  const tags = {
    ...run.tags,
    [REGISTRATION_KEY_TAG]: key,
    'mlflow.runName': name,
    ...(parentRunId === undefined ? {} : { 'mlflow.parentRunId': parentRunId }),
  };
  let tries = 0;
  const runs = await patiently(signal, async () => {
    tries += 1;
    const found = await findRuns(client, { experimentId, filter }, signal);
    if (found.length > 0) return found;
    const made = await client.runs.create(
      { experimentId, runName: name, startTime: startedAtMs, tags },
      { signal },
    );
    // Another worker, or an earlier try of ours that was slow, may have made one in the meantime.
    const all = await findRuns(client, { experimentId, filter }, signal);
    return all.length > 0 ? all : [toTrackedRun(made)];
  });
  const [kept, ...others] = runs;
  if (kept === undefined) throw new Error('unreachable: a run was found or made');
  // A create whose answer got lost may be carried out later: then everybody must still choose this run.
  if (tries > 1)
    await patiently(signal, () =>
      client.runs.setTag({ runId: kept.runId, key: CHOSEN_TAG, value: 'true' }, { signal }),
    );
  for (const { runId, status } of others) {
    if (status === 'KILLED') continue;
    // All workers choose alike, so this never closes the run that another one uses.
    await patiently(signal, async () => {
      await client.runs.setTag({ runId, key: 'anneal.duplicate_of', value: kept.runId }, { signal });
      await client.runs.update({ runId, status: 'KILLED', endTime: startedAtMs }, { signal });
    });
  }
  return kept;
}

/** The chosen one first, then by age, then by id. */
async function findRuns(
  client: MlflowClient,
  { experimentId, filter }: { readonly experimentId: string; readonly filter: string },
  signal: AbortSignal,
): Promise<TrackedRun[]> {
  const runs: Run[] = [];
  for await (const run of client.runs.searchAll({ experimentIds: [experimentId], filter }, { signal }))
    runs.push(run);
  const order = ({ info, data }: Run) =>
    `${data.tags[CHOSEN_TAG] === undefined ? 1 : 0}/${String(info.startTime ?? 0).padStart(16, '0')}/${info.runId}`;
  return runs.sort((a, b) => (order(a) < order(b) ? -1 : 1)).map(toTrackedRun);
}

async function logEntries(
  client: MlflowClient,
  { runId, parameters = {}, tags = {}, points = [] }: Parameters<Tracking['log']>[0],
  signal: AbortSignal,
): Promise<void> {
  const known =
    Object.keys(parameters).length === 0 ? {} : (await client.runs.get(runId, { signal })).data.params;
  const params = Object.entries(parameters).filter(([name]) => known[name] === undefined);
  const metrics = points.map(({ name, value, step, timestampMs }) => ({
    key: toKey(name),
    value,
    step,
    timestamp: timestampMs,
  }));
  const batch = {
    runId,
    params: Object.fromEntries(params.map(([name, value]) => [toKey(name), truncate(value, 6_000)])),
    tags: Object.fromEntries(
      Object.entries(tags).map(([name, value]) => [toKey(name), truncate(value, 8_000)]),
    ),
    metrics,
  };
  await client.runs.logBatch(batch, { signal });
}

/** MLflow's rule for names of metrics, parameters and tags. */
function toKey(name: string): string {
  return name.replace(/[^\w.\- :/]/g, '_').slice(0, 250);
}

function truncate(value: string, limit: number): string {
  return value.length <= limit ? value : `${value.slice(0, limit - 3)}...`;
}

function toTrackedRun({ info, data }: Run): TrackedRun {
  return {
    runId: info.runId,
    experimentId: info.experimentId,
    status: info.status,
    parameters: data.params,
    tags: data.tags,
    latest: Object.fromEntries(data.metrics.map(({ key, value, step }) => [key, { value, step }])),
  };
}
