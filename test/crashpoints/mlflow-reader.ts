/** What MLflow holds of one run, read past the proxy and without Anneal's own code. */
export interface MlflowFindings {
  readonly runs: readonly { readonly name: string; readonly status: string; readonly isParent: boolean }[];
  readonly versions: readonly {
    readonly version: string;
    readonly status: string;
    readonly tags: { readonly [name: string]: string };
  }[];
  readonly loggedModels: readonly { readonly id: string; readonly status: string }[];
  readonly aliases: { readonly [alias: string]: string };
  readonly modelTags: { readonly [name: string]: string };
}

type Tags = readonly { readonly key: string; readonly value: string }[];

/** Asks a server about a run and its model. */
export async function readMlflow(
  trackingUri: string,
  {
    pipeline,
    executionId,
    modelName,
  }: { readonly pipeline: string; readonly executionId: string; readonly modelName: string },
): Promise<MlflowFindings> {
  const ask = async <T>(call: string, body?: object): Promise<T> => {
    const response = await fetch(`${trackingUri}/api/2.0/mlflow/${call}`, {
      method: body === undefined ? 'GET' : 'POST',
      headers: { 'content-type': 'application/json' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    if (!response.ok)
      throw new Error(`MLflow answers ${response.status} to ${call}: ${await response.text()}`);
    return (await response.json()) as T;
  };
  const { experiment } = await ask<{ experiment: { experiment_id: string } }>(
    `experiments/get-by-name?experiment_name=${encodeURIComponent(pipeline)}`,
  );
  const ids = [experiment.experiment_id];
  const { runs = [] } = await ask<{
    runs?: { info: { run_name: string; status: string }; data: { tags?: Tags } }[];
  }>('runs/search', {
    experiment_ids: ids,
    filter: `tags.\`anneal.execution_id\` = '${executionId}'`,
    max_results: 100,
  });
  const { models = [] } = await ask<{ models?: { info: { model_id: string; status: string } }[] }>(
    'logged-models/search',
    {
      experiment_ids: ids,
      filter: `name = '${modelName}'`,
    },
  );
  const named = encodeURIComponent(`name='${modelName}'`);
  const { model_versions: versions = [] } = await ask<{
    model_versions?: { version: string; status: string; tags?: Tags }[];
  }>(`model-versions/search?filter=${named}`);
  const { registered_model: model } = await ask<{
    registered_model: { aliases?: { alias: string; version: string }[]; tags?: Tags };
  }>(`registered-models/get?name=${encodeURIComponent(modelName)}`);
  return {
    runs: runs.map(({ info, data }) => ({
      name: info.run_name,
      status: info.status,
      isParent: data.tags?.some(({ key }) => key === 'mlflow.parentRunId') !== true,
    })),
    versions: versions.map(({ version, status, tags }) => ({ version, status, tags: toObject(tags) })),
    loggedModels: models.map(({ info }) => ({ id: info.model_id, status: info.status })),
    aliases: Object.fromEntries((model.aliases ?? []).map(({ alias, version }) => [alias, version])),
    modelTags: toObject(model.tags),
  };
}

/** Puts an experiment out of the way, so that the next run makes it anew. */
export async function renameExperiment(trackingUri: string, name: string, suffix: string): Promise<void> {
  const found = await fetch(`${trackingUri}/api/2.0/mlflow/experiments/get-by-name?experiment_name=${name}`);
  if (!found.ok) return;
  const { experiment } = (await found.json()) as { experiment: { experiment_id: string } };
  const renamed = await fetch(`${trackingUri}/api/2.0/mlflow/experiments/update`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ experiment_id: experiment.experiment_id, new_name: `${name} before ${suffix}` }),
  });
  if (!renamed.ok) throw new Error(`MLflow does not rename an experiment: ${await renamed.text()}`);
}

function toObject(tags: Tags = []): { readonly [name: string]: string } {
  return Object.fromEntries(tags.map(({ key, value }) => [key, value]));
}
