import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { createMlflowClient, type MlflowClient } from 'mlflow-ts-client';
import { createCloseRun } from '../../src/activities/close-run.js';
import { createRegistryActivities } from '../../src/activities/registry.js';
import { createTrackingActivities } from '../../src/activities/tracking.js';
import { createStepTracking } from '../../src/activities/tracking-step.js';
import { createFileStore } from '../../src/adapters/file-store/create-file-store.js';
import { createMlflowRegistry } from '../../src/adapters/mlflow/registry.js';
import { createMlflowTracking } from '../../src/adapters/mlflow/tracking.js';
import { treeDigest, type ArtifactRef, type FileEntry, type Manifest } from '../../src/core/artifacts.js';
import { storeKeys } from '../../src/core/artifact-store.js';
import { REGISTRATION_KEY_TAG, type LaneOperation } from '../../src/core/registry.js';
import type { RunStatus } from '../../src/core/run.js';
import { buildFailed, buildRequest, buildSucceeded, createContext } from '../tracking/fixtures.js';
import {
  mlflowExecutable as executable,
  realClock as clock,
  startRealMlflow,
  withoutMlflow as skip,
  type RealMlflow,
} from './mlflow-server.js';

const run = promisify(execFile);
const context = createContext();
const { signal } = context();

const NATIVE_RUN = `
import mlflow, os
mlflow.set_experiment("somewhere-else") if os.environ.get("ELSEWHERE") else None
with mlflow.start_run() as run:
    mlflow.log_metric("native", 1.0)
if os.environ.get("LEAVE_OPEN"):
    print(mlflow.MlflowClient().create_run(run.info.experiment_id, tags=mlflow.tracking.context.registry.resolve_tags()).info.run_id)
else:
    print(run.info.run_id)
`;
const SAVE_MODEL = `
import sys, warnings, mlflow, numpy
from sklearn.linear_model import LinearRegression
x = numpy.array([[0.0], [1.0], [2.0]])
model = LinearRegression().fit(x, [1.0, 3.0, 5.0])
mlflow.sklearn.save_model(model, sys.argv[1], signature=mlflow.models.infer_signature(x, model.predict(x)), input_example=x)
`;
const PREDICT = `
import sys, mlflow, numpy
model = mlflow.pyfunc.load_model(sys.argv[1])
print(model.metadata.model_id, float(model.predict(numpy.array([[10.0]]))[0]))
`;

describe('the adapters on a real MLflow', () => {
  let server: RealMlflow;
  let client: MlflowClient;
  let tracking: ReturnType<typeof createMlflowTracking>;

  before(async () => {
    if (executable === undefined) return;
    server = await startRealMlflow(executable);
    client = createMlflowClient({ trackingUri: server.url });
    tracking = createMlflowTracking({ client, clock });
  });
  after(async () => {
    if (executable !== undefined) await server.stop();
  });

  const python = async (
    script: string,
    args: readonly string[],
    env: { readonly [name: string]: string } = {},
  ) => {
    const base = {
      ...process.env,
      MLFLOW_TRACKING_URI: server.url,
      MLFLOW_DISABLE_TELEMETRY: 'true',
      ...env,
    };
    const { stdout } = await run(server.python, ['-c', script, ...args], {
      env: base,
      cwd: server.directory,
    });
    return stdout.trim().split('\n').at(-1) ?? '';
  };
  const open = async (executionId: string) => {
    const { openTracking } = createTrackingActivities({
      tracking,
      clock,
      context,
      project: 'churn',
      temporalUiUrl: 'http://ui:8233',
    });
    const input = {
      pipeline: 'churn-training',
      executionId,
      parameters: { threshold: 0.85 },
      tags: ['nightly'],
      owner: 'ml-team',
      build: 'b1',
    };
    const opened = await openTracking(input);
    assert.deepEqual(await openTracking(input), opened);
    return opened;
  };

  test(
    'tracks a run, its steps and what their commands log, and leaves nothing RUNNING',
    { skip },
    async () => {
      const { experimentId, parentRunId } = await open('exec-1');
      const steps = createStepTracking({ tracking, clock, context });
      const inputs = {
        table: {
          kind: 'Dataset',
          uri: 'file:///data/t.parquet',
          digest: 'a'.repeat(64),
          sizeBytes: 1,
          form: 'file',
          values: {},
        },
      } as const;
      const request = buildRequest({ tracking: { experimentId, parentRunId }, inputs });
      const opened = await steps.openStepRun({ request, name: 'train-x-a1', runId: 'nightly/1' });
      assert.ok(opened);
      const points = [20, 40].map((step) => ({
        name: 'loss',
        value: 1 / step,
        step,
        timestampMs: 1_000 + step,
      }));
      await steps.logPoints(opened.runId, points);
      await steps.closeStepRun({ request, trackingRunId: opened.runId, outcome: buildFailed() });

      const again = await steps.openStepRun({
        request: { ...request, attempt: 2 },
        name: 'train-x-a2',
        runId: 'nightly/1',
      });
      assert.equal(again?.runId, opened.runId);
      await steps.logPoints(opened.runId, [
        ...points,
        { name: 'loss', value: 0.01, step: 60, timestampMs: 9_000 },
      ]);
      const native = await python(NATIVE_RUN, [], again.environment);
      const elsewhere = await python(NATIVE_RUN, [], { ...again.environment, ELSEWHERE: '1' });
      const left = await python(NATIVE_RUN, [], { ...again.environment, LEAVE_OPEN: '1' });
      await steps.closeStepRun({
        request,
        trackingRunId: opened.runId,
        outcome: buildSucceeded({ f1: 0.94 }),
      });

      const step = await client.runs.get(opened.runId);
      assert.equal(step.info.status, 'FINISHED');
      assert.equal(step.data.tags['mlflow.parentRunId'], parentRunId);
      assert.equal(step.data.tags['anneal.attempt'], '2');
      assert.equal(step.inputs.datasetInputs[0]?.dataset.name, 'table');
      const curve = await client.metrics.getHistory({ runId: opened.runId, metricKey: 'loss' });
      assert.deepEqual(
        curve.items.map((point) => point.step),
        [20, 40, 60],
      );
      for (const id of [native, elsewhere, left]) {
        assert.equal((await client.runs.get(id)).data.tags['mlflow.parentRunId'], opened.runId);
      }
      assert.equal((await client.runs.get(left)).info.status, 'KILLED');

      const store = createFileStore({ root: join(server.directory, 'store') });
      const { closeRun } = createCloseRun({ tracking, store, clock, context });
      await closeRun({ status: buildStatus({ experimentId, runId: parentRunId }), state: 'completed' });
      const parent = await client.runs.get(parentRunId);
      assert.deepEqual(
        [parent.info.status, parent.info.endTime, parent.info.runName],
        ['FINISHED', 5_000, 'nightly/1'],
      );
      assert.deepEqual(parent.data.params, { threshold: '0.85' });
      const running = await client.runs.search({
        experimentIds: [experimentId],
        filter: "attributes.status = 'RUNNING'",
      });
      assert.deepEqual(running.items, []);
      assert.ok(await store.readBytes(storeKeys.run('exec-1')));
    },
  );

  test('shows the columns and rows of what goes into a step, where they are known', { skip }, async () => {
    const { experimentId, parentRunId } = await open('exec-data');
    const store = createFileStore({ root: join(server.directory, 'data-store') });
    const columns = [
      { name: 'age', type: 'int64' },
      { name: 'name', type: 'string' },
    ];
    const preview = { type: 'table', format: 'csv', columns, rowCount: 3_333, rows: [] } as const;
    const uri = store.uriOf(storeKeys.output('exec-data', 'ingest-a1', 'data'));
    const table = {
      kind: 'Dataset',
      uri,
      digest: 'b'.repeat(64),
      sizeBytes: 1,
      form: 'file',
      values: {},
    } as const;
    const manifest: Manifest = {
      ...{ version: 1, attempt: 'ingest-a1', parameters: {}, startedAtMs: 1, endedAtMs: 2 },
      outputs: { data: { ...table, files: [], preview } },
    };
    await store.putBytes(storeKeys.manifest('exec-data', 'ingest-a1'), Buffer.from(JSON.stringify(manifest)));
    const steps = createStepTracking({ tracking, clock, context, store });
    const request = buildRequest({
      ...{ executionId: 'exec-data', tracking: { experimentId, parentRunId }, inputs: { train: table } },
    });
    const opened = await steps.openStepRun({ request, name: 'train-a1', runId: 'nightly/1' });
    assert.ok(opened);
    await steps.closeStepRun({ request, trackingRunId: opened.runId, outcome: buildSucceeded({}) });
    const [input, ...others] = (await client.runs.get(opened.runId)).inputs.datasetInputs;
    assert.deepEqual(others, []);
    assert.equal(input?.dataset.name, 'train');
    assert.equal(input.dataset.digest, 'b'.repeat(32));
    assert.equal(input.tags['mlflow.data.context'], 'training');
    assert.equal(input.tags['anneal.digest'], 'b'.repeat(64));
    // What MLflow's own library makes of it is what its pages draw.
    const drawn = await python(
      'import json, sys, mlflow; d = mlflow.get_run(sys.argv[1]).inputs.dataset_inputs[0].dataset; print(json.dumps([[(c["name"], c["type"]) for c in json.loads(d.schema)["mlflow_colspec"]], json.loads(d.profile)]))',
      [opened.runId],
    );
    assert.deepEqual(JSON.parse(drawn), [
      [
        ['age', 'long'],
        ['name', 'string'],
      ],
      { num_rows: 3_333 },
    ]);
  });

  test(
    'registers what save_model wrote, byte for byte and once, and Python loads it by its alias',
    { skip },
    async () => {
      const { experimentId, parentRunId } = await open('exec-2');
      const store = createFileStore({ root: join(server.directory, 'store') });
      const directory = join(server.directory, 'model');
      await python(SAVE_MODEL, [directory]);
      const model = await storeDirectory(store, directory);
      const registry = createMlflowRegistry({ client, clock });
      const { runLaneOperation, readChampion } = createRegistryActivities({
        registry,
        clock,
        store,
        context,
      });
      const operation: LaneOperation = {
        kind: 'register',
        key: 'a'.repeat(64),
        model,
        metrics: { f1: 0.94 },
        tags: { 'anneal.pipeline': 'churn-training' },
        source: { experimentId, runId: parentRunId },
      };
      const of = { modelName: 'churn-predictor', alias: 'champion' };
      assert.equal(await readChampion(of), null);
      const first = await runLaneOperation({ modelName: of.modelName, operation });
      assert.deepEqual(await runLaneOperation({ modelName: of.modelName, operation }), first);
      assert.equal(await readChampion(of), null);
      const promotion = {
        kind: 'promote',
        alias: 'champion',
        version: first.version,
        by: 'ml-team',
      } as const;
      for (const _ of ['once', 'repeated']) {
        assert.equal(
          (await runLaneOperation({ modelName: of.modelName, operation: promotion })).version,
          '1',
        );
      }
      const next = await runLaneOperation({
        modelName: of.modelName,
        operation: { ...operation, key: 'b'.repeat(64) },
      });
      const promoted = await runLaneOperation({
        modelName: of.modelName,
        operation: { ...promotion, version: next.version },
      });
      assert.equal(promoted.replaced, '1');
      assert.deepEqual(await readChampion(of), { version: '2', metrics: { f1: 0.94 }, digest: model.digest });
      assert.equal((await registry.findByAlias({ ...of, alias: 'previous-champion' }, signal))?.version, '1');

      const { modelId = '' } = next;
      const late = { name: of.modelName, source: `models:/${modelId}`, modelId };
      await client.modelVersions.create({ ...late, tags: { [REGISTRATION_KEY_TAG]: 'b'.repeat(64) } });
      const again = await runLaneOperation({
        modelName: of.modelName,
        operation: { ...operation, key: 'b'.repeat(64) },
      });
      assert.equal(again.version, '2');
      const { items } = await client.modelVersions.search({ filter: "name = 'churn-predictor'" });
      assert.deepEqual(items.map(({ version }) => version).sort(), ['1', '2']);

      const logged = await client.loggedModels.get(modelId);
      assert.equal(logged.info.status, 'LOGGED_MODEL_READY');
      assert.deepEqual(JSON.parse(logged.info.tags['mlflow.modelVersions'] ?? ''), [
        { name: of.modelName, version: 2 },
      ]);
      assert.deepEqual(
        logged.data.metrics.map(({ key, value }) => [key, value]),
        [['f1', 0.94]],
      );
      const mlmodel = await client.artifacts.get({ root: logged.info.artifactUri, path: 'MLmodel' });
      assert.deepEqual(Buffer.from(mlmodel), await readFile(join(directory, 'MLmodel')));
      const [, prediction] = (await python(PREDICT, ['models:/churn-predictor@champion'])).split(' ');
      assert.ok(Math.abs(Number(prediction) - 21) < 1e-6, `predicted ${String(prediction)}`);
    },
  );
});

/** Puts a directory into a store as an attempt would. */
async function storeDirectory(
  store: ReturnType<typeof createFileStore>,
  directory: string,
): Promise<ArtifactRef<'Model'>> {
  const prefix = storeKeys.output('exec-2', 'train-a1', 'model');
  const entries: FileEntry[] = [];
  for (const entry of await readdir(directory, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const file = join(entry.parentPath, entry.name);
    const path = relative(directory, file);
    await store.putFile(`${prefix}/${path}`, file);
    const bytes = await readFile(file);
    entries.push({ path, sizeBytes: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') });
  }
  const model: ArtifactRef<'Model'> = {
    kind: 'Model',
    uri: store.uriOf(prefix),
    digest: treeDigest(entries),
    sizeBytes: 1,
    form: 'directory',
    values: {},
  };
  const manifest: Manifest = {
    version: 1,
    attempt: 'train-a1',
    outputs: { model: { ...model, files: entries } },
    parameters: {},
    startedAtMs: 1,
    endedAtMs: 2,
  };
  await store.putBytes(storeKeys.manifest('exec-2', 'train-a1'), Buffer.from(JSON.stringify(manifest)));
  return model;
}

function buildStatus(tracking: NonNullable<RunStatus['tracking']>): RunStatus {
  return {
    runId: 'nightly/1',
    executionId: 'exec-1',
    pipeline: 'churn-training',
    project: 'churn',
    build: 'b1',
    state: 'running',
    parameters: {},
    startedAtMs: 1,
    endedAtMs: 5_000,
    calls: [],
    counts: {},
    continuations: 0,
    approvals: [],
    tracking,
  };
}
