import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { createLineageWriter } from '../../src/activities/lineage.js';
import { createRegistryActivities } from '../../src/activities/registry.js';
import { createMlflowRegistry } from '../../src/adapters/mlflow/registry.js';
import type { ArtifactRef } from '../../src/core/artifacts.js';
import type { LaneOperation } from '../../src/core/registry.js';
import type { Fault } from './fake-mlflow.js';
import {
  buildRequest,
  buildSucceeded,
  createContext,
  createMemoryStore,
  storeModel,
  withMlflow,
} from './fixtures.js';

const FILES = { MLmodel: 'flavors: {}\n', 'model.skops': 'bytes', 'data/example.json': '{}' };
const MODEL = 'churn-predictor';
const context = createContext();

type Parts = Parameters<Parameters<typeof withMlflow>[0]>[0];

/** Adapters, activities, a stored model and its registration, with a run to come from. */
async function withModel(
  use: (
    parts: Parts & {
      store: ReturnType<typeof createMemoryStore>;
      operation: Extract<LaneOperation, { kind: 'register' }>;
    } & ReturnType<typeof createRegistryActivities>,
  ) => Promise<void>,
): Promise<void> {
  await withMlflow(async (parts) => {
    const store = createMemoryStore();
    const model = await storeModel(store, FILES);
    const run = await parts.tracking.ensureRun(
      { experimentId: '1', key: 'train', name: 'train', startedAtMs: 1, tags: {} },
      context().signal,
    );
    const source = { experimentId: '1', runId: run.runId };
    const operation = {
      kind: 'register',
      key: 'a1b2',
      model,
      metrics: { f1: 0.94 },
      tags: { 'anneal.pipeline': 'churn-training' },
      source,
    } as const;
    await use({
      ...parts,
      store,
      operation,
      ...createRegistryActivities({ registry: parts.registry, clock: parts.clock, store, context }),
    });
  });
}

describe('registering a model', () => {
  test('makes one version from a model that holds exactly the artifact', () =>
    withModel(async ({ fake, operation, runLaneOperation }) => {
      const result = await runLaneOperation({ modelName: MODEL, operation });
      const [model] = fake.state.models;
      const [version] = fake.state.versions;
      assert.deepEqual(result, { version: '1', modelId: model?.info.model_id });
      assert.equal(model?.info.status, 'LOGGED_MODEL_READY');
      const prefix = `1/models/${model.info.model_id}/artifacts/`;
      const uploaded = Object.fromEntries(
        [...fake.state.artifacts].map(([path, bytes]) => [path.slice(prefix.length), bytes.toString()]),
      );
      assert.deepEqual(uploaded, FILES);
      assert.equal([...fake.state.artifacts.keys()].at(-1), `${prefix}MLmodel`);
      assert.equal(version?.source, `models:/${model.info.model_id}`);
      assert.equal(version.run_id, operation.source?.runId);
      assert.equal(version.tags.get('gate.f1'), '0.94');
      assert.equal(version.tags.get('anneal.digest'), operation.model.digest);
      const [run] = fake.state.runs;
      assert.deepEqual(
        run?.outputs.map(({ model_id }) => model_id),
        [model.info.model_id],
      );
      assert.deepEqual(
        run.metrics.map(({ key, model_id }) => [key, model_id]),
        [['f1', model.info.model_id]],
      );
    }));

  test('describes the version: who made it, where that can be seen, what its gate saw', () =>
    withModel(async ({ fake, store, clock, registry, operation }) => {
      const { runLaneOperation } = createRegistryActivities({
        ...{ registry, store, clock, context },
        temporalUiUrl: 'http://temporal:8233',
      });
      const tags = {
        'anneal.pipeline': 'churn-training',
        'anneal.run_id': 'nightly/1',
        'anneal.execution_id': 'exec-1',
      };
      const metrics = { f1: 0.9400001, loss: 2 };
      await runLaneOperation({ modelName: MODEL, operation: { ...operation, metrics, tags } });
      assert.equal(
        fake.state.versions[0]?.description,
        [
          'Registered by pipeline **churn-training**, run `nightly/1`.',
          '[Open in Temporal](http://temporal:8233/namespaces/default/workflows/nightly%2F1/exec-1/history)',
          'Metrics: f1 = 0.94, loss = 2.',
        ].join('\n\n'),
      );
    }));

  test('says on the version from which code and data it was made, and shows it as an output of the step that made it, too', () =>
    withModel(async ({ fake, tracking, store, operation, runLaneOperation }) => {
      const step = { experimentId: '1', key: 'step', name: 'train', startedAtMs: 1, tags: {} };
      const { runId } = await tracking.ensureRun(step, context().signal);
      const data: ArtifactRef = Object.assign(
        { kind: 'Dataset', uri: 's3://b/k', digest: 'd1', sizeBytes: 1, form: 'file', values: {} } as const,
        { pin: { pinnedAtMs: 1, source: 's3://b/k' } },
      );
      const origin = { commit: 'c0', branch: 'main', dirty: true };
      const readCode = () => Promise.resolve({ origin, pythonDigest: 'lock' });
      await createLineageWriter({ store, readCode }).recordStep({
        request: buildRequest({ inputs: { data } }),
        runId: 'earlier/1',
        outcome: { ...buildSucceeded({}), outputs: { model: operation.model }, trackingRunId: runId },
      });
      await runLaneOperation({ modelName: MODEL, operation });
      await runLaneOperation({ modelName: MODEL, operation });
      const [version] = fake.state.versions;
      const tags = Object.fromEntries(version?.tags ?? []);
      const expected = {
        'anneal.made_by.execution_id': 'exec-1',
        'anneal.made_by.attempt_name': 'train-a1',
        'anneal.made_by.run_id': 'earlier/1',
        'anneal.made_by.step': 'train',
        'anneal.made_by.mlflow_run_id': runId,
        'anneal.code_digest': 'd1',
        'anneal.python_digest': 'lock',
        'anneal.build': 'b1',
        'anneal.git.commit': 'c0',
        'anneal.git.branch': 'main',
        'anneal.git.dirty': 'true',
        'anneal.dataset.data': 'd1',
        'anneal.dataset_source.data': 's3://b/k',
      };
      assert.deepEqual({ ...tags, ...expected }, tags);
      assert.match(
        version?.description ?? '',
        /Made by step \*\*train\*\* of run `earlier\/1`: code `d1`, commit `c0` with changes\.\n\nData: \*\*data\*\* `d1` from `s3:\/\/b\/k`\./,
      );
      const outputs = fake.state.runs.map((run) => run.outputs.map(({ model_id }) => model_id));
      assert.deepEqual(outputs, [[version?.model_id], [version?.model_id]]);
    }));

  test('goes on where the MLflow run of the step that made it was deleted', () =>
    withModel(async ({ fake, store, operation, runLaneOperation }) => {
      const readCode = () => Promise.resolve({});
      await createLineageWriter({ store, readCode }).recordStep({
        request: buildRequest(),
        runId: 'earlier/1',
        outcome: { ...buildSucceeded({}), outputs: { model: operation.model }, trackingRunId: 'deleted' },
      });
      assert.equal((await runLaneOperation({ modelName: MODEL, operation })).version, '1');
      assert.equal(fake.state.runs[0]?.outputs.length, 1);
    }));

  const CREATES = [
    'POST logged-models',
    'POST model-versions/create',
    'POST registered-models/create',
    'POST runs/outputs',
  ];
  const FAULTS = [
    'drop-before',
    'drop-after',
    '500-before',
    '500-after',
    'hang-before',
    'hang-after',
  ] satisfies Fault[];
  for (const call of CREATES) {
    for (const fault of FAULTS) {
      test(`is exactly once when ${call} meets ${fault}`, () =>
        withModel(async ({ fake, operation, runLaneOperation }) => {
          fake.fail(call, fault);
          const { version } = await runLaneOperation({ modelName: MODEL, operation });
          assert.deepEqual(fake.happened, [`${call} ${fault}`]);
          assert.deepEqual(
            [version, fake.state.versions.length, fake.state.models.length, fake.state.registered.size],
            ['1', 1, 1, 1],
          );
        }));
    }
  }

  test('is exactly once when it is repeated after having been ended at any of its calls', () =>
    withModel(async ({ fake, store, clock, registry, operation, runLaneOperation }) => {
      // Without faults it takes some number of calls; end it after each of them in turn, then repeat it to the end.
      const total = await countCalls();
      for (let after = 1; after < total; after += 1) {
        const key = `${operation.key}${after}`;
        const cancel = new AbortController();
        const seen = fake.calls.length;
        const watched = createRegistryActivities({
          registry,
          clock,
          store,
          context: createContext({ signal: cancel.signal }),
        });
        fake.onCall = () => {
          if (fake.calls.length === seen + after) cancel.abort(new Error('ended'));
        };
        await assert.rejects(
          watched.runLaneOperation({ modelName: MODEL, operation: { ...operation, key } }),
          /ended/,
        );
        fake.onCall = undefined;
        const { version } = await runLaneOperation({ modelName: MODEL, operation: { ...operation, key } });
        const made = fake.state.versions.filter(
          ({ tags }) => tags.get('mlflow.anneal.idempotencyKey') === key,
        );
        const models = fake.state.models.filter(
          ({ tags }) => tags.get('mlflow.anneal.idempotencyKey') === key,
        );
        assert.deepEqual(
          [made.map((v) => v.version), models.length],
          [[version], 1],
          `ended after call ${after}`,
        );
      }

      async function countCalls(): Promise<number> {
        const before = fake.calls.length;
        await runLaneOperation({ modelName: MODEL, operation });
        return fake.calls.length - before;
      }
    }));

  test('removes a version that was made late, and keeps the lowest', () =>
    withModel(async ({ fake, operation, runLaneOperation }) => {
      fake.fail('POST model-versions/create', 'late');
      await runLaneOperation({ modelName: MODEL, operation });
      fake.commitLate();
      assert.equal(fake.state.versions.length, 2);
      assert.equal((await runLaneOperation({ modelName: MODEL, operation })).version, '1');
      assert.deepEqual(
        fake.state.versions.map(({ version }) => version),
        ['1'],
      );
      const noted = fake.state.models[0]?.tags.get('mlflow.modelVersions');
      assert.equal(noted, '[{"name":"churn-predictor","version":1}]');
    }));

  test('leaves a double alone that has an alias', () =>
    withModel(async ({ fake, operation, runLaneOperation }) => {
      fake.fail('POST model-versions/create', 'late');
      await runLaneOperation({ modelName: MODEL, operation });
      fake.commitLate();
      fake.state.registered.get(MODEL)?.aliases.set('pinned-by-hand', '2');
      await runLaneOperation({ modelName: MODEL, operation });
      assert.equal(fake.state.versions.length, 2);
    }));

  test('goes on with an upload that broke off', () =>
    withModel(async ({ fake, operation, runLaneOperation }) => {
      fake.fail('POST model-versions/create', '500-before');
      const put = (path: string) =>
        fake.calls.filter((call) => call.startsWith('PUT') && call.endsWith(path)).length;
      fake.state.models.push({
        info: {
          model_id: 'm-early',
          experiment_id: '1',
          name: MODEL,
          artifact_uri: 'mlflow-artifacts:/1/models/m-early/artifacts',
          status: 'LOGGED_MODEL_PENDING',
          creation_timestamp_ms: 1,
        },
        tags: new Map([['mlflow.anneal.idempotencyKey', operation.key]]),
      });
      fake.state.artifacts.set('1/models/m-early/artifacts/data/example.json', Buffer.from('{}'));
      fake.state.artifacts.set('1/models/m-early/artifacts/model.skops', Buffer.from('byt'));
      await runLaneOperation({ modelName: MODEL, operation });
      assert.deepEqual([put('example.json'), put('model.skops'), put('MLmodel')], [0, 1, 1]);
    }));

  test('registers a model of a run that is not tracked', () =>
    withModel(async ({ fake, operation, runLaneOperation }) => {
      const { source: _, ...untracked } = operation;
      assert.equal((await runLaneOperation({ modelName: MODEL, operation: untracked })).version, '1');
      assert.ok(fake.state.experiments.has(`models/${MODEL}`));
    }));

  test('refuses bytes that are not those of the manifest, before anything is ready', () =>
    withModel(async ({ fake, store, operation, runLaneOperation }) => {
      store.objects.set('runs/exec-1/attempts/train-a1/outputs/model/model.skops', Buffer.from('other'));
      await assert.rejects(runLaneOperation({ modelName: MODEL, operation }), {
        code: 'InputMissing',
        message: /model\.skops has sha256/,
      });
      assert.deepEqual(
        [fake.state.versions.length, fake.state.models[0]?.info.status],
        [0, 'LOGGED_MODEL_PENDING'],
      );
      await assert.rejects(
        runLaneOperation({
          modelName: MODEL,
          operation: { ...operation, model: { ...operation.model, digest: 'other' } },
        }),
        { code: 'InputMissing' },
      );
    }));

  test('refuses a directory that is no MLflow model', () =>
    withModel(async ({ store, operation, runLaneOperation }) => {
      const model = await storeModel(store, { 'weights.bin': 'x' });
      await assert.rejects(runLaneOperation({ modelName: MODEL, operation: { ...operation, model } }), {
        code: 'InvalidInput',
        message: /no file MLmodel/,
      });
    }));
});

describe('registering a model that its own script registered already', () => {
  /** A version as `log_model(registered_model_name=...)` leaves it, below the attempt's run. */
  const registerNatively = async ({ fake, tracking }: Parts, files: { readonly [path: string]: string }) => {
    const run = await tracking.ensureRun(
      {
        experimentId: '1',
        key: 'native',
        name: 'native',
        startedAtMs: 1,
        tags: { 'anneal.attempt_name': 'train-a1' },
      },
      context().signal,
    );
    const artifact_uri = 'mlflow-artifacts:/1/models/m-00000000000000000000000000000abc/artifacts';
    fake.state.models.push({
      info: {
        model_id: 'm-00000000000000000000000000000abc',
        experiment_id: '1',
        name: MODEL,
        artifact_uri,
        status: 'LOGGED_MODEL_READY',
        creation_timestamp_ms: 1,
      },
      tags: new Map(),
    });
    for (const [path, text] of Object.entries({ ...files, registered_model_meta: 'x' }))
      fake.state.artifacts.set(
        `1/models/m-00000000000000000000000000000abc/artifacts/${path}`,
        Buffer.from(text),
      );
    fake.state.registered.set(MODEL, { name: MODEL, aliases: new Map(), tags: new Map() });
    const source = 'models:/m-00000000000000000000000000000abc';
    fake.state.versions.push({ name: MODEL, version: '1', source, run_id: run.runId, tags: new Map() });
  };

  test('takes the version over where its bytes are the same, once', () =>
    withModel(async ({ operation, runLaneOperation, ...parts }) => {
      await registerNatively(parts, FILES);
      for (let i = 0; i < 2; i++)
        assert.deepEqual(await runLaneOperation({ modelName: MODEL, operation }), {
          version: '1',
          modelId: 'm-00000000000000000000000000000abc',
        });
      const { versions } = parts.fake.state;
      assert.equal(versions.length, 1);
      assert.equal(versions[0]?.tags.get('mlflow.anneal.idempotencyKey'), operation.key);
      assert.equal(versions[0]?.tags.get('anneal.digest'), operation.model.digest);
      assert.equal(versions[0]?.tags.get('anneal.native'), 'adopted');
      assert.equal(versions[0]?.description, 'Metrics: f1 = 0.94.');
    }));

  test('leaves the description that the version has', () =>
    withModel(async ({ operation, runLaneOperation, ...parts }) => {
      await registerNatively(parts, FILES);
      const [version] = parts.fake.state.versions;
      assert.ok(version);
      version.description = 'mine';
      await runLaneOperation({ modelName: MODEL, operation });
      assert.equal(version.description, 'mine');
    }));

  for (const [what, files] of Object.entries({
    'one byte is another': { ...FILES, 'model.skops': 'bytez' },
    'a size is another': { ...FILES, 'model.skops': 'more bytes' },
    'a file is missing': { MLmodel: FILES.MLmodel },
    'a file is there too many': { ...FILES, 'extra/file': 'x' },
  }))
    test(`leaves it alone, says so and makes its own where ${what}`, () =>
      withModel(async ({ operation, runLaneOperation, ...parts }) => {
        await registerNatively(parts, files);
        const { version, notice } = await runLaneOperation({ modelName: MODEL, operation });
        assert.equal(version, '2');
        assert.match(notice ?? '', /^version 1, registered by the step's own command, has other bytes/);
        const [native, made] = parts.fake.state.versions;
        assert.match(native?.tags.get('anneal.native') ?? '', /other bytes .* is version 2/);
        assert.equal(native?.tags.get('mlflow.anneal.idempotencyKey'), undefined);
        assert.equal(made?.tags.get('mlflow.anneal.idempotencyKey'), operation.key);
      }));
});

describe('a server whose artifacts do not pass through it', () => {
  const setRoot = ({ fake }: Pick<Parts, 'fake'>, root: string) => {
    fake.onCall = () => {
      for (const { info } of fake.state.models) info.artifact_uri = root;
    };
  };

  test('gets the files of a model where S3 is, MLmodel last, and goes on with an upload that broke off', () =>
    withModel(async ({ fake, store, operation, client, clock }) => {
      const put: string[] = [];
      const opened: string[] = [];
      const registry = createMlflowRegistry({
        client,
        clock,
        openArtifacts: (root) => {
          opened.push(root);
          return {
            list: async function* () {
              yield await Promise.resolve({ key: 'model.skops', uri: '', sizeBytes: 5, modifiedAtMs: 1 });
            },
            putFile: async (key) => {
              put.push(key);
              return await Promise.resolve({ path: key, sizeBytes: 1, sha256: '' });
            },
            fetchFile: async () => await Promise.reject(new Error('not used here')),
          };
        },
      });
      setRoot({ fake }, 's3://bucket/1/models/m/artifacts');
      const { runLaneOperation } = createRegistryActivities({ registry, clock, store, context });
      assert.equal((await runLaneOperation({ modelName: MODEL, operation })).version, '1');
      assert.deepEqual(put, ['data/example.json', 'MLmodel']);
      assert.deepEqual(opened, ['s3://bucket/1/models/m/artifacts']);
    }));

  test('is refused with what to change where only its own machine can write', () =>
    withModel(async (parts) => {
      setRoot(parts, '/srv/mlartifacts/1/models/m/artifacts');
      await assert.rejects(parts.runLaneOperation({ modelName: MODEL, operation: parts.operation }), {
        code: 'TrackingRefused',
        message: /\/srv\/mlartifacts.*--serve-artifacts/,
      });
    }));
});

describe('promoting a version', () => {
  const promote = (version: string): LaneOperation => ({
    kind: 'promote',
    alias: 'champion',
    version,
    by: 'ml-team',
  });

  test('moves the alias, remembers what it replaced, and is idempotent', () =>
    withModel(async ({ fake, operation, runLaneOperation, readChampion }) => {
      assert.equal(await readChampion({ modelName: MODEL, alias: 'champion' }), null);
      for (const key of ['k1', 'k2'])
        await runLaneOperation({ modelName: MODEL, operation: { ...operation, key } });
      assert.equal(await readChampion({ modelName: MODEL, alias: 'champion' }), null);
      const first = await runLaneOperation({ modelName: MODEL, operation: promote('1') });
      assert.equal(first.replaced, undefined);
      for (const _ of ['first', 'repeated']) {
        const second = await runLaneOperation({ modelName: MODEL, operation: promote('2') });
        assert.deepEqual([second.version, second.replaced], ['2', '1']);
      }
      assert.deepEqual(Object.fromEntries(fake.state.registered.get(MODEL)?.aliases ?? []), {
        champion: '2',
        'previous-champion': '1',
      });
      assert.equal(fake.state.versions[1]?.tags.get('anneal.replaced_version.champion'), '1');
      const champion = await readChampion({ modelName: MODEL, alias: 'champion' });
      assert.deepEqual(champion, { version: '2', metrics: { f1: 0.94 }, digest: operation.model.digest });
    }));

  for (const fault of ['drop-before', 'drop-after', '500-after', 'hang-after'] satisfies Fault[]) {
    test(`knows what it replaced when setting the alias meets ${fault}`, () =>
      withModel(async ({ fake, operation, runLaneOperation }) => {
        for (const key of ['k1', 'k2'])
          await runLaneOperation({ modelName: MODEL, operation: { ...operation, key } });
        await runLaneOperation({ modelName: MODEL, operation: promote('1') });
        fake.fail('POST registered-models/alias', fault);
        assert.equal((await runLaneOperation({ modelName: MODEL, operation: promote('2') })).replaced, '1');
        assert.equal(fake.happened.length, 1);
      }));
  }

  test('refuses a version that does not exist', () =>
    withModel(async ({ operation, runLaneOperation }) => {
      await runLaneOperation({ modelName: MODEL, operation });
      await assert.rejects(runLaneOperation({ modelName: MODEL, operation: promote('9') }), {
        code: 'InvalidInput',
        message: /no version 9/,
      });
    }));
});
