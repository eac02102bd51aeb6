import { modelCalls, registryCalls } from './fake-mlflow-registry.js';
import {
  fail,
  matches,
  ok,
  toMap,
  toPairs,
  type Answer,
  type Body,
  type Handlers,
  type Pair,
} from './fake-mlflow-wire.js';
import type { FakeRun, FakeState, Metric } from './fake-mlflow-shapes.js';

/** An empty server. */
export function createFakeState(): FakeState {
  let ids = 0;
  const nextId = () => String(++ids).padStart(32, '0');
  const state: Omit<FakeState, 'execute'> = {
    experiments: new Map(),
    runs: [],
    models: [],
    registered: new Map(),
    versions: [],
    artifacts: new Map(),
  };
  const handlers = {
    ...experimentCalls(state),
    ...runCalls(state, nextId),
    ...modelCalls(state, nextId),
    ...registryCalls(state),
  };
  return {
    ...state,
    execute: ({ call, query, body }) => {
      const artifact = /^(GET|PUT) artifacts:artifacts(?:\/(.*))?$/.exec(call);
      if (artifact)
        return serveArtifact(state.artifacts, {
          method: artifact[1] ?? '',
          path: decodeURIComponent(artifact[2] ?? ''),
          query,
          body,
        });
      const model = /^(GET|PATCH) logged-models\/(m-\w+)(\/tags)?$/.exec(call);
      const handler = handlers[model ? `${model[1]} logged-models/{id}${model[3] ?? ''}` : call];
      if (!handler) return fail(404, 'ENDPOINT_NOT_FOUND', `the fake has no ${call}`);
      const parsed = body.length > 0 ? JSON.parse(body.toString()) : {};
      return handler({ ...Object.fromEntries(query), ...parsed, ...(model ? { model_id: model[2] } : {}) });
    },
  };
}

function experimentCalls({ experiments }: Omit<FakeState, 'execute'>): Handlers {
  const show = (e: Body) => ({ ...e, tags: toPairs(e.tags) });
  const byId = (id: string) => [...experiments.values()].find((e) => e.experiment_id === id);
  return {
    'GET experiments/get-by-name': ({ experiment_name }) => {
      const found = experiments.get(experiment_name);
      return found
        ? ok({ experiment: show(found) })
        : fail(404, 'RESOURCE_DOES_NOT_EXIST', `no experiment ${experiment_name}`);
    },
    'POST experiments/create': ({ name, tags }) => {
      if (experiments.has(name))
        return fail(400, 'RESOURCE_ALREADY_EXISTS', `Experiment ${name} already exists`);
      const experiment_id = String(experiments.size + 1);
      experiments.set(name, { experiment_id, name, lifecycle_stage: 'active', tags: toMap(tags) });
      return ok({ experiment_id });
    },
    'POST experiments/set-experiment-tag': ({ experiment_id, key, value }) => {
      byId(experiment_id)?.tags.set(key, value);
      return ok({});
    },
  };
}

function runCalls({ runs }: Omit<FakeState, 'execute'>, nextId: () => string): Handlers {
  const withRun = (id: string, use: (run: FakeRun) => Answer) => {
    const run = runs.find(({ info }) => info.run_id === id);
    return run ? use(run) : fail(404, 'RESOURCE_DOES_NOT_EXIST', `no run ${id}`);
  };
  return {
    'POST runs/create': ({ experiment_id, run_name, start_time, tags }) => {
      const info = { run_id: nextId(), run_name, experiment_id, status: 'RUNNING', start_time };
      const run: FakeRun = {
        info,
        tags: toMap(tags),
        params: new Map(),
        metrics: [],
        outputs: [],
        datasets: [],
      };
      runs.push(run);
      return ok({ run: showRun(run) });
    },
    'GET runs/get': ({ run_id }) => withRun(run_id, (run) => ok({ run: showRun(run) })),
    'POST runs/update': ({ run_id, status, end_time }) =>
      withRun(run_id, (run) => {
        Object.assign(run.info, status && { status }, end_time && { end_time });
        return ok({});
      }),
    'POST runs/search': ({ experiment_ids, filter }) => {
      const found = runs.filter(
        ({ info, tags }) => experiment_ids.includes(info.experiment_id) && matches(filter, tags, info),
      );
      return ok(found.length > 0 ? { runs: found.map(showRun) } : {});
    },
    'POST runs/set-tag': ({ run_id, key, value }) =>
      withRun(run_id, (run) => {
        run.tags.set(key, value);
        return ok({});
      }),
    'POST runs/log-batch': ({ run_id, params = [], tags = [], metrics = [] }) =>
      withRun(run_id, (run) => {
        for (const { key, value } of params as Pair[]) {
          if (run.params.has(key) && run.params.get(key) !== value)
            return fail(400, 'INVALID_PARAMETER_VALUE', `param ${key} changed`);
          run.params.set(key, value);
        }
        for (const { key, value } of tags as Pair[]) run.tags.set(key, value);
        for (const point of metrics as Metric[]) {
          const same = (m: Metric) =>
            JSON.stringify([m.key, m.value, m.timestamp, m.step]) ===
            JSON.stringify([point.key, point.value, point.timestamp, point.step]);
          if (!run.metrics.some(same)) run.metrics.push(point);
        }
        return ok({});
      }),
    'POST runs/log-inputs': ({ run_id, datasets }) =>
      withRun(run_id, (run) => {
        run.datasets.push(...datasets);
        return ok({});
      }),
    'POST runs/outputs': ({ run_id, models }) =>
      withRun(run_id, (run) => {
        for (const model of models) {
          if (run.outputs.some(({ model_id }) => model_id === model.model_id))
            return fail(400, 'BAD_REQUEST', '(sqlite3.IntegrityError) UNIQUE constraint failed');
          run.outputs.push(model);
        }
        return ok({});
      }),
  };
}

function serveArtifact(
  artifacts: Map<string, Buffer>,
  { method, path, query, body }: { method: string; path: string; query: URLSearchParams; body: Buffer },
): Answer {
  if (method === 'PUT') {
    artifacts.set(path, body);
    return ok({});
  }
  if (path !== '') return { status: 200, bytes: artifacts.get(path) ?? Buffer.alloc(0) };
  const prefix = `${query.get('path') ?? ''}/`;
  const files = new Map<string, unknown>();
  for (const [key, bytes] of artifacts) {
    if (!key.startsWith(prefix)) continue;
    const [name = '', ...rest] = key.slice(prefix.length).split('/');
    files.set(
      name,
      rest.length > 0 ? { path: name, is_dir: true } : { path: name, is_dir: false, file_size: bytes.length },
    );
  }
  return ok(files.size > 0 ? { files: [...files.values()] } : {});
}

function showRun({ info, tags, params, metrics, outputs, datasets }: FakeRun): unknown {
  const latest = new Map<string, Metric>();
  for (const point of metrics) {
    const known = latest.get(point.key);
    if (
      !known ||
      point.step > known.step ||
      (point.step === known.step && point.timestamp >= known.timestamp)
    )
      latest.set(point.key, point);
  }
  const data = { metrics: [...latest.values()], params: toPairs(params), tags: toPairs(tags) };
  return { info, data, inputs: { dataset_inputs: datasets }, outputs: { model_outputs: outputs } };
}
