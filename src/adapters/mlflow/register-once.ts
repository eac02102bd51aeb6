import type { LoggedModel, MlflowClient, ModelVersion } from 'mlflow-ts-client';
import { isMlflowError, tagFilter } from 'mlflow-ts-client';
import type { ModelRegistration } from '../../activities/ports/model-registry.js';
import { AnnealError } from '../../core/failures.js';
import { REGISTRATION_KEY_TAG } from '../../core/registry.js';
import type { ModelPlaceDeps } from './model-place.js';
import { uploadModel } from './model-upload.js';
import { adoptVersion, findNativeVersions, reportNativeVersions } from './native-versions.js';

/** What registering needs. */
export type RegisterDeps = ModelPlaceDeps;

/** A version, and something to tell people. */
export interface RegisteredOnce {
  readonly version: ModelVersion;
  readonly notice?: string;
}

/**
 * Registers a model exactly once, although MLflow knows no idempotency key: the key is a tag, written together with what it marks;
 * each create begins with a search for it, is repeated only after another search, and is followed by one that removes a double.
 * The version comes last, so a version that is there says that everything before it is done.
 */
export async function registerOnce(
  deps: RegisterDeps,
  registration: ModelRegistration,
  signal: AbortSignal,
): Promise<RegisteredOnce> {
  const { client, patiently } = deps;
  const { modelName: name } = registration;
  await patiently(signal, () => client.registeredModels.ensure({ name }, { signal }));
  const done = await patiently(signal, () => findVersions(client, registration, signal));
  if (done[0] !== undefined) return { version: await removeDoubles(deps, done, signal) };
  const { same, others } = await findNativeVersions(deps, registration, signal);
  if (same !== undefined) await adoptVersion(deps, same, { registration, signal });
  const version = same ?? (await makeVersion(deps, registration, signal));
  const notice = await reportNativeVersions(deps, others, { kept: version, signal });
  return { version, ...(notice === undefined ? {} : { notice }) };
}

/** From the logged model to the version. */
async function makeVersion(
  deps: RegisterDeps,
  registration: ModelRegistration,
  signal: AbortSignal,
): Promise<ModelVersion> {
  const { client, patiently } = deps;
  const { modelName: name } = registration;
  const experimentId = registration.source?.experimentId ?? (await ensureModelExperiment(deps, name, signal));
  const model = await ensureLoggedModel(deps, { ...registration, experimentId }, signal);
  const { modelId } = model.info;
  if (model.info.status !== 'LOGGED_MODEL_READY') {
    await uploadModel(deps, { root: model.info.artifactUri, files: registration.files }, signal);
    await patiently(signal, () =>
      client.loggedModels.finalize({ modelId, status: 'LOGGED_MODEL_READY' }, { signal }),
    );
  }
  await connectToRun(deps, registration, { model, signal });
  return ensureVersion(deps, { ...registration, modelId }, signal);
}

async function ensureLoggedModel(
  { client, patiently }: RegisterDeps,
  registration: ModelRegistration & { readonly experimentId: string },
  signal: AbortSignal,
): Promise<LoggedModel> {
  const { experimentId, key, modelName, source, tags } = registration;
  const search = () => findLoggedModels(client, { experimentId, key }, signal);
  const models = await patiently(signal, async () => {
    const found = await search();
    if (found.length > 0) return found;
    const made = await client.loggedModels.create(
      {
        experimentId,
        name: modelName.replace(/[/:.%"']/g, '-'),
        ...(source === undefined ? {} : { sourceRunId: source.runId }),
        tags: { ...tags, [REGISTRATION_KEY_TAG]: key },
      },
      { signal },
    );
    const all = await search();
    return all.length > 0 ? all : [made];
  });
  const [kept, ...doubles] = models;
  if (kept === undefined) throw new Error('unreachable: a model was found or made');
  for (const { info } of doubles) {
    if (info.status !== 'LOGGED_MODEL_PENDING') continue;
    const failed = { modelId: info.modelId, status: 'LOGGED_MODEL_UPLOAD_FAILED' } as const;
    await patiently(signal, () => client.loggedModels.finalize(failed, { signal }));
  }
  return kept;
}

/** A model that is ready before others, then the oldest. */
async function findLoggedModels(
  client: MlflowClient,
  { experimentId, key }: { readonly experimentId: string; readonly key: string },
  signal: AbortSignal,
): Promise<LoggedModel[]> {
  const models: LoggedModel[] = [];
  const filter = tagFilter(REGISTRATION_KEY_TAG, key);
  for await (const model of client.loggedModels.searchAll(
    { experimentIds: [experimentId], filter },
    { signal },
  ))
    models.push(model);
  const order = ({ info }: LoggedModel) =>
    `${info.status === 'LOGGED_MODEL_READY' ? 0 : 1}/${String(info.creationTimestampMs ?? 0).padStart(16, '0')}/${info.modelId}`;
  return models.sort((a, b) => (order(a) < order(b) ? -1 : 1));
}

/** Makes the model an output of its run and of the step's, and the metrics visible on the model's own page. */
async function connectToRun(
  deps: RegisterDeps,
  { source, madeBy, metrics }: ModelRegistration,
  { model, signal }: { readonly model: LoggedModel; readonly signal: AbortSignal },
): Promise<void> {
  const { client, patiently } = deps;
  const { modelId, creationTimestampMs: timestamp = 0 } = model.info;
  if (madeBy !== undefined && madeBy.runId !== source?.runId)
    await connectToStep(deps, { runId: madeBy.runId, modelId }, signal);
  if (source === undefined) return;
  await patiently(signal, () =>
    client.runs.logOutputs({ runId: source.runId, models: [{ modelId }] }, { signal }),
  );
  const points = Object.entries(metrics).map(([key, value]) => ({ key, value, timestamp, step: 0, modelId }));
  await patiently(signal, () => client.runs.logBatch({ runId: source.runId, metrics: points }, { signal }));
}

/** The step's run may have been deleted since, when its result was reused much later: then the model is registered without it. */
async function connectToStep(
  { client, patiently }: RegisterDeps,
  { runId, modelId }: { readonly runId: string; readonly modelId: string },
  signal: AbortSignal,
): Promise<void> {
  try {
    await patiently(signal, () => client.runs.logOutputs({ runId, models: [{ modelId }] }, { signal }));
  } catch (error) {
    if (!(error instanceof AnnealError) || error.code !== 'TrackingRefused') throw error;
  }
}

async function ensureVersion(
  deps: RegisterDeps,
  registration: ModelRegistration & { readonly modelId: string },
  signal: AbortSignal,
): Promise<ModelVersion> {
  const { client, patiently } = deps;
  const { modelName: name, key, modelId, source, tags, description } = registration;
  const versions = await patiently(signal, async () => {
    const found = await findVersions(client, registration, signal);
    if (found.length > 0) return found;
    const version = {
      name,
      source: `models:/${modelId}`,
      modelId,
      ...(source === undefined ? {} : { runId: source.runId }),
      ...(description === undefined ? {} : { description }),
      tags: { ...tags, [REGISTRATION_KEY_TAG]: key },
    };
    const made = await client.modelVersions.create(version, { signal });
    const all = await findVersions(client, registration, signal);
    return all.length > 0 ? all : [made];
  });
  return removeDoubles(deps, versions, signal);
}

/** Lowest first. The key is of this model alone, so that its name, which may hold anything, stays out of the filter. */
async function findVersions(
  client: MlflowClient,
  { modelName, key }: ModelRegistration,
  signal: AbortSignal,
): Promise<ModelVersion[]> {
  const versions: ModelVersion[] = [];
  const filter = tagFilter(REGISTRATION_KEY_TAG, key);
  for await (const version of client.modelVersions.searchAll({ filter }, { signal })) {
    if (version.name === modelName) versions.push(version);
  }
  return versions.sort((a, b) => Number(a.version) - Number(b.version));
}

/** Keeps the lowest; a double that has an alias is left to people. */
async function removeDoubles(
  { client, patiently }: RegisterDeps,
  versions: readonly ModelVersion[],
  signal: AbortSignal,
): Promise<ModelVersion> {
  const [kept, ...doubles] = versions;
  if (kept === undefined) throw new Error('unreachable: a version was found or made');
  for (const { name, version } of doubles) {
    await patiently(signal, async () => {
      try {
        // Searches may answer without aliases.
        const { aliases } = await client.modelVersions.get({ name, version }, { signal });
        if (aliases.length === 0) await client.modelVersions.delete({ name, version }, { signal });
      } catch (error) {
        if (!isMlflowError(error, 'RESOURCE_DOES_NOT_EXIST')) throw error;
      }
    });
  }
  if (doubles.length > 0) await forgetDoubles({ client, patiently }, kept, signal);
  return kept;
}

/** MLflow's server notes each version on its model, for the model's page, and does not notice when one is deleted. */
async function forgetDoubles(
  { client, patiently }: RegisterDeps,
  { name, version, modelId }: ModelVersion,
  signal: AbortSignal,
): Promise<void> {
  if (modelId === undefined || modelId === '') return;
  const tags = { 'mlflow.modelVersions': JSON.stringify([{ name, version: Number(version) }]) };
  await patiently(signal, () => client.loggedModels.setTags({ modelId, tags }, { signal }));
}

/** Models of runs that are not tracked need an experiment all the same. */
function ensureModelExperiment(
  { client, patiently }: RegisterDeps,
  name: string,
  signal: AbortSignal,
): Promise<string> {
  return patiently(signal, () => client.experiments.ensure({ name: `models/${name}` }, { signal }));
}
