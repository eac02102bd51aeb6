import type { FakeModel, FakeState, FakeVersion } from './fake-mlflow-shapes.js';
import { fail, matches, ok, toMap, toPairs, type Handlers, type Pair } from './fake-mlflow-wire.js';

/** Calls on logged models. */
export function modelCalls({ models }: Omit<FakeState, 'execute'>, nextId: () => string): Handlers {
  const show = ({ info, tags }: FakeModel) => ({ info: { ...info, tags: toPairs(tags) }, data: {} });
  return {
    'POST logged-models': ({ experiment_id, name, source_run_id, tags }) => {
      const model_id = `m-${nextId()}`;
      const artifact_uri = `mlflow-artifacts:/${experiment_id}/models/${model_id}/artifacts`;
      const info = {
        model_id,
        experiment_id,
        name,
        artifact_uri,
        status: 'LOGGED_MODEL_PENDING',
        source_run_id,
        creation_timestamp_ms: 1_000 + models.length,
      };
      models.push({ info, tags: toMap(tags) });
      return ok({ model: show({ info, tags: toMap(tags) }) });
    },
    'POST logged-models/search': ({ experiment_ids, filter }) =>
      ok({
        models: models
          .filter(({ info, tags }) => experiment_ids.includes(info.experiment_id) && matches(filter, tags))
          .map(show),
      }),
    'PATCH logged-models/{id}/tags': ({ model_id, tags }) => {
      const model = models.find(({ info }) => info.model_id === model_id);
      for (const { key, value } of tags as Pair[]) model?.tags.set(key, value);
      return ok({});
    },
    'GET logged-models/{id}': ({ model_id }) => {
      const model = models.find(({ info }) => info.model_id === model_id);
      return model
        ? ok({ model: show(model) })
        : fail(404, 'RESOURCE_DOES_NOT_EXIST', `no model ${model_id}`);
    },
    'PATCH logged-models/{id}': ({ model_id, status }) => {
      const model = models.find(({ info }) => info.model_id === model_id);
      if (!model) return fail(404, 'RESOURCE_DOES_NOT_EXIST', `no model ${model_id}`);
      model.info.status = status;
      return ok({ model: show(model) });
    },
  };
}

/** Calls on registered models and their versions. */
export function registryCalls({ registered, versions }: Omit<FakeState, 'execute'>): Handlers {
  const show = (v: FakeVersion) => ({
    ...v,
    tags: toPairs(v.tags),
    aliases: [...(registered.get(v.name)?.aliases ?? [])].filter(([, n]) => n === v.version).map(([a]) => a),
  });
  const find = (name: string, version: string) =>
    versions.find((v) => v.name === name && v.version === version);
  const unknown = (name: string) =>
    fail(404, 'RESOURCE_DOES_NOT_EXIST', `Registered Model with name=${name} not found`);
  return {
    'POST registered-models/create': ({ name }) => {
      if (registered.has(name))
        return fail(400, 'RESOURCE_ALREADY_EXISTS', `Registered Model (name=${name}) already exists.`);
      registered.set(name, { name, aliases: new Map(), tags: new Map() });
      return ok({ registered_model: { name } });
    },
    'GET registered-models/get': ({ name }) => {
      const found = registered.get(name);
      if (!found) return unknown(name);
      const aliases = [...found.aliases].map(([alias, version]) => ({ alias, version }));
      return ok({ registered_model: { name, aliases, tags: toPairs(found.tags) } });
    },
    'POST registered-models/set-tag': ({ name, key, value }) => {
      registered.get(name)?.tags.set(key, value);
      return ok({});
    },
    'DELETE registered-models/delete-tag': ({ name, key }) => {
      registered.get(name)?.tags.delete(key);
      return ok({});
    },
    'DELETE registered-models/alias': ({ name, alias }) => {
      registered.get(name)?.aliases.delete(alias);
      return ok({});
    },
    'POST model-versions/create': ({ tags, ...version }) => {
      const numbers = versions.filter(({ name }) => name === version.name).map((v) => Number(v.version));
      const made: FakeVersion = {
        ...version,
        version: String(Math.max(0, ...numbers) + 1),
        tags: toMap(tags),
      };
      versions.push(made);
      return ok({ model_version: show(made) });
    },
    'GET model-versions/get': ({ name, version }) => {
      const found = find(name, version);
      return found
        ? ok({ model_version: show(found) })
        : fail(404, 'RESOURCE_DOES_NOT_EXIST', `no version ${version}`);
    },
    'GET model-versions/search': ({ filter }) =>
      ok({ model_versions: versions.filter((v) => matches(filter, v.tags, { runId: v.run_id })).map(show) }),
    'DELETE model-versions/delete': ({ name, version }) => {
      versions.splice(
        versions.findIndex((v) => v.name === name && v.version === version),
        1,
      );
      return ok({});
    },
    'PATCH model-versions/update': ({ name, version, description }) => {
      const found = find(name, version);
      if (!found) return fail(404, 'RESOURCE_DOES_NOT_EXIST', `no version ${version}`);
      found.description = description;
      return ok({ model_version: show(found) });
    },
    'POST model-versions/set-tag': ({ name, version, key, value }) => {
      find(name, version)?.tags.set(key, value);
      return ok({});
    },
    'POST registered-models/alias': ({ name, alias, version }) => {
      if (!find(name, version)) return fail(404, 'RESOURCE_DOES_NOT_EXIST', `no version ${version}`);
      registered.get(name)?.aliases.set(alias, version);
      return ok({});
    },
    'GET registered-models/alias': ({ name, alias }) => {
      const version = registered.get(name)?.aliases.get(alias);
      if (!registered.has(name)) return unknown(name);
      const found = version === undefined ? undefined : find(name, version);
      return found
        ? ok({ model_version: show(found) })
        : fail(400, 'INVALID_PARAMETER_VALUE', `Registered model alias ${alias} not found.`);
    },
  };
}
