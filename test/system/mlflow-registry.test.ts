import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { createMlflowClient, type MlflowClient } from 'mlflow-ts-client';
import { createCloseRun } from '../../src/activities/close-run.js';
import { createRegistryActivities } from '../../src/activities/registry.js';
import { createStepTracking } from '../../src/activities/tracking-step.js';
import { createTrackingActivities } from '../../src/activities/tracking.js';
import { createMlflowRegistry } from '../../src/adapters/mlflow/registry.js';
import { createMlflowTracking } from '../../src/adapters/mlflow/tracking.js';
import { createS3Store } from '../../src/adapters/s3-store/create-s3-store.js';
import type { AliasOperation, LaneOperation } from '../../src/core/registry.js';
import type { CallStatus, RunStatus } from '../../src/core/run.js';
import { s3Program, startS3Server } from '../store/s3-server.js';
import { buildRequest, createContext, createMemoryStore, storeModel } from '../tracking/fixtures.js';
import {
  mlflowExecutable as executable,
  realClock as clock,
  startRealMlflow,
  withoutMlflow as skip,
  type RealMlflow,
} from './mlflow-server.js';

const context = createContext();
const MODEL = 'churn-predictor';
const FILES = { MLmodel: 'flavors: {}\n', 'model.skops': 'bytes', 'data/example.json': '{}' };

/** Logs and registers a model as a script does, and says what files it has. */
const REGISTER = `
import json, mlflow, numpy, os, pathlib
from sklearn.linear_model import LinearRegression
x = numpy.array([[0.0], [1.0]])
with mlflow.start_run():
    logged = mlflow.sklearn.log_model(LinearRegression().fit(x, [1.0, 3.0]), name="model", registered_model_name="native")
path = pathlib.Path(mlflow.artifacts.download_artifacts(f"models:/{logged.model_id}"))
print(json.dumps({str(f.relative_to(path)): f.read_bytes().hex() for f in path.rglob("*") if f.is_file()}))
`;

describe('aliases, native versions and late closings on a real MLflow', () => {
  let server: RealMlflow;
  let client: MlflowClient;
  let tracking: ReturnType<typeof createMlflowTracking>;
  const store = createMemoryStore();
  let requests = 0;

  before(async () => {
    if (executable === undefined) return;
    server = await startRealMlflow(executable);
    client = createMlflowClient({ trackingUri: server.url });
    tracking = createMlflowTracking({ client, clock });
  });
  after(async () => {
    if (executable !== undefined) await server.stop();
  });
  const ask = async (operation: LaneOperation, modelName = MODEL) => {
    requests += 1;
    const registry = createMlflowRegistry({ client, clock });
    const { runLaneOperation } = createRegistryActivities({ registry, clock, store, context });
    return await runLaneOperation({
      modelName,
      operation,
      requestId: `r${requests}`,
      order: requests * 1_000,
    });
  };
  const open = async (executionId: string) => {
    const { openTracking } = createTrackingActivities({ tracking, clock, context, project: 'churn' });
    const run = { pipeline: 'churn-training', executionId, parameters: {}, tags: [], build: 'b1' };
    return await openTracking(run);
  };
  const aliases = async () =>
    Object.fromEntries(
      (await client.registeredModels.get(MODEL)).aliases.map(({ alias, version }) => [alias, version]),
    );

  test(
    'an alias goes forth and back, away and back, and is put back after a late write',
    { skip },
    async () => {
      const model = await storeModel(store, FILES);
      const { experimentId, parentRunId } = await open('exec-aliases');
      for (const key of ['a', 'b', 'c'])
        await ask({
          kind: 'register',
          key: key.repeat(64),
          model,
          metrics: {},
          tags: {},
          source: { experimentId, runId: parentRunId },
        });
      const alias = { alias: 'champion', by: 'ana' } as const;
      const to = (version: string): AliasOperation => ({ kind: 'promote', version, ...alias });
      for (const version of ['1', '2', '3']) await ask(to(version));
      assert.deepEqual(await aliases(), { champion: '3', 'previous-champion': '2' });
      assert.deepEqual(await ask({ kind: 'rollback', ...alias }), { version: '2', replaced: '3' });
      assert.equal((await ask({ kind: 'demote', ...alias })).version, '2');
      assert.deepEqual(await aliases(), { 'previous-champion': '2' });
      assert.equal((await ask({ kind: 'rollback', ...alias })).version, '2');
      // A move in doubt, a newer one, then the late write.
      const key = Object.keys((await client.registeredModels.get(MODEL)).tags).find((tag) =>
        tag.endsWith('.done'),
      );
      assert.ok(key);
      await client.registeredModels.setTag({
        name: MODEL,
        key: key.replace('.done', '.doubt'),
        value: 'true',
      });
      await client.registeredModels.setAlias({ name: MODEL, alias: 'champion', version: '1' });
      const { repairs } = await ask({ kind: 'reconcile' });
      assert.deepEqual(repairs, [{ alias: 'champion', version: '2', found: '1' }]);
      assert.deepEqual(await aliases(), { champion: '2', 'previous-champion': '1' });
    },
  );

  test("a step's run that nobody closed ends as its call did", { skip }, async () => {
    const { experimentId, parentRunId } = await open('exec-late');
    const steps = createStepTracking({ tracking, clock, context });
    const request = buildRequest({ executionId: 'exec-late', tracking: { experimentId, parentRunId } });
    const opened = await steps.openStepRun({ request, name: 'train-a1', runId: 'nightly/1' });
    assert.ok(opened);
    const { closeRun } = createCloseRun({ tracking, store: createMemoryStore(), clock, context });
    const call = { kind: 'step', name: 'train', attempt: 1, startedAtMs: 1_000, endedAtMs: 2_000 } as const;
    const calls: CallStatus[] = [
      { ...call, id: request.callId, state: 'succeeded' },
      { ...call, id: 'hit', state: 'cached', cachedFrom: { runId: 'nightly/0' } },
    ];
    const status: RunStatus = {
      ...{ runId: 'nightly/1', executionId: 'exec-late', pipeline: 'churn-training', project: 'churn' },
      ...{ build: 'b1', parameters: {}, startedAtMs: 1, endedAtMs: 5_000, continuations: 0 },
      ...{ calls, counts: { cached: 1 }, approvals: [] },
      state: 'completed',
      tracking: { experimentId, runId: parentRunId },
    };
    for (let i = 0; i < 2; i++) await closeRun({ status, state: 'completed' });
    const step = await client.runs.get(opened.runId);
    assert.deepEqual([step.info.status, step.info.endTime], ['FINISHED', 2_000]);
    const filter = "tags.`anneal.cached` = 'true'";
    const { items } = await client.runs.search({ experimentIds: [experimentId], filter });
    assert.deepEqual(
      items.map(({ info }) => [info.runName, info.status]),
      [['train', 'FINISHED']],
    );
  });

  test(
    'a version that the script registered is taken over, or reported, by its bytes',
    { skip },
    async () => {
      const { experimentId, parentRunId } = await open('exec-1');
      const steps = createStepTracking({ tracking, clock, context });
      const request = buildRequest({ tracking: { experimentId, parentRunId } });
      const opened = await steps.openStepRun({ request, name: 'train-a1', runId: 'nightly/1' });
      assert.ok(opened);
      const { stdout } = await promisify(execFile)(server.python, ['-c', REGISTER], {
        env: { ...process.env, ...opened.environment, MLFLOW_DISABLE_TELEMETRY: 'true' },
        cwd: server.directory,
      });
      const native = Object.entries(
        JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as Record<string, string>,
      );
      const files = Object.fromEntries(native.map(([path, hex]) => [path, Buffer.from(hex, 'hex')]));
      delete files['registered_model_meta'];
      const operation = async (key: string, given: typeof files): Promise<LaneOperation> => ({
        kind: 'register',
        key: key.repeat(64),
        model: await storeModel(store, given),
        metrics: { f1: 0.5 },
        tags: {},
        source: { experimentId, runId: parentRunId },
      });
      const other = await ask(await operation('d', { ...files, extra: Buffer.from('x') }), 'native');
      assert.equal(other.version, '2');
      assert.match(other.notice ?? '', /version 1, registered by the step's own command, has other bytes/);
      const same = await ask(await operation('e', files), 'native');
      assert.equal(same.version, '1');
      const { tags, description } = await client.modelVersions.get({ name: 'native', version: '1' });
      assert.equal(description, 'Metrics: f1 = 0.5.');
      const made = await client.modelVersions.get({ name: 'native', version: '2' });
      assert.equal(made.description, 'Metrics: f1 = 0.5.');
      assert.equal(tags['anneal.native'], 'adopted');
    },
  );
});

describe('an MLflow whose artifacts are in S3', () => {
  const away = s3Program === undefined ? 'ANNEAL_TEST_S3 is not set' : skip;
  test(
    'gets the files of a registered model there, which is promoted and rolled back like another',
    { skip: away },
    async () => {
      const s3 = await startS3Server();
      const options = s3.storeOptions();
      const server = await startRealMlflow(executable ?? '', { artifactRoot: `${options.root}/mlflow` });
      try {
        const client = createMlflowClient({ trackingUri: server.url });
        const openArtifacts = (root: string) => createS3Store({ ...options, root });
        const registry = createMlflowRegistry({ client, clock, openArtifacts });
        const store = createMemoryStore();
        const model = await storeModel(store, FILES);
        const { runLaneOperation } = createRegistryActivities({ registry, clock, store, context });
        const operation: LaneOperation = {
          kind: 'register',
          key: 'f'.repeat(64),
          model,
          metrics: {},
          tags: {},
        };
        const { version, modelId = '' } = await runLaneOperation({ modelName: MODEL, operation });
        assert.equal(version, '1');
        assert.deepEqual(await runLaneOperation({ modelName: MODEL, operation }), { version, modelId });
        const second = await runLaneOperation({
          modelName: MODEL,
          operation: { ...operation, key: 'e'.repeat(64) },
        });
        const alias = { alias: 'champion', by: 'ana' } as const;
        const move = async (order: number, work: AliasOperation) =>
          await runLaneOperation({ modelName: MODEL, operation: work, requestId: `m${order}`, order });
        await move(1, { kind: 'promote', version, ...alias });
        assert.equal((await move(2, { kind: 'promote', version: second.version, ...alias })).replaced, '1');
        assert.equal((await move(3, { kind: 'rollback', ...alias })).version, '1');
        const champion = await registry.findByAlias(
          { modelName: MODEL, alias: 'champion' },
          context().signal,
        );
        assert.equal(champion?.version, '1');
        const { info } = await client.loggedModels.get(modelId);
        assert.match(info.artifactUri, /^s3:\/\//);
        const place = openArtifacts(info.artifactUri);
        for (const [path, text] of Object.entries(FILES)) {
          const local = join(server.directory, 'fetched');
          await place.fetchFile(path, local);
          assert.equal(await readFile(local, 'utf8'), text);
          await writeFile(local, '').catch(() => undefined);
        }
      } finally {
        await server.stop();
        await s3.stop();
      }
    },
  );
});
