import assert from 'node:assert/strict';
import { createHash, randomUUID } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test, type TestContext } from 'node:test';
import {
  allOf,
  attributeFilter,
  createMlflowClient,
  isMlflowError,
  readMlflowEnvironment,
  tagFilter,
} from '../src/index.js';
import { startLossyProxy } from './lossy-proxy.js';

const trackingUri = process.env['ANNEAL_TEST_MLFLOW_URI'] ?? '';
const skip = trackingUri === '' ? 'ANNEAL_TEST_MLFLOW_URI names no MLflow server' : false;

function connect(uri = trackingUri): ReturnType<typeof createMlflowClient> {
  return createMlflowClient({ ...readMlflowEnvironment(process.env), trackingUri: uri });
}

const unique = (what: string): string => `${what}-${randomUUID()}`;

async function makeRun(): Promise<{ experimentId: string; runId: string; artifactUri: string }> {
  const { experiments, runs } = connect();
  const experimentId = await experiments.ensure({ name: unique('churn') });
  const { info } = await runs.create({ experimentId, runName: 'train', startTime: Date.now() });
  return { experimentId, runId: info.runId, artifactUri: info.artifactUri ?? '' };
}

async function makeDirectory(t: TestContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'mlflow-ts-client-'));
  t.after(() => rm(directory, { recursive: true, force: true }));
  return directory;
}

describe('a real MLflow server', () => {
  test('is healthy and says its version', { skip }, async () => {
    const client = connect();
    await client.health();
    assert.match(await client.version(), /^\d+\.\d+\.\d+/);
  });

  test('makes an experiment once and finds it', { skip }, async () => {
    const { experiments } = connect();
    const name = unique('churn');
    assert.equal(await experiments.findByName(name), undefined);
    const ids = await Promise.all([
      experiments.ensure({ name, tags: { team: 'x' } }),
      experiments.ensure({ name, tags: { team: 'x' } }),
    ]);
    assert.equal(ids[0], ids[1]);
    await experiments.setTag({ experimentId: ids[0], key: 'k', value: 'v' });
    assert.deepEqual((await experiments.get(ids[0])).tags, { team: 'x', k: 'v' });
    await assert.rejects(experiments.create({ name }), (error) =>
      isMlflowError(error, 'RESOURCE_ALREADY_EXISTS'),
    );
  });

  test('keeps a run with metrics, parameters, tags and inputs', { skip }, async () => {
    const { runs, metrics } = connect();
    const { runId, experimentId } = await makeRun();
    const points = Array.from({ length: 2100 }, (_, step) => ({
      key: 'loss',
      value: 1 / (step + 1),
      timestamp: 1000 + step,
      step,
    }));
    const odd = { key: 'odd', value: NaN, timestamp: 1, step: 0 };
    const batch = { runId, metrics: [...points, odd], params: { depth: '3' }, tags: { someTag: 'a b' } };
    assert.equal(await runs.logBatch(batch), 3);
    await runs.logBatch(batch);
    await runs.logMetric({ runId, key: 'up', value: Infinity, timestamp: 1 });
    await runs.logParameter({ runId, key: 'depth', value: '3' });
    await assert.rejects(runs.logParameter({ runId, key: 'depth', value: '4' }), (error) =>
      isMlflowError(error, 'INVALID_PARAMETER_VALUE'),
    );
    await runs.setTag({ runId, key: 'key', value: 'run-1' });
    const dataset = {
      name: 'churn',
      digest: 'a'.repeat(32),
      sourceType: 'local',
      source: '{"uri":"/d.csv"}',
    };
    for (let repeat = 0; repeat < 2; repeat += 1) {
      await runs.logInputs({ runId, datasets: [{ dataset, tags: { 'mlflow.data.context': 'training' } }] });
    }
    await runs.update({ runId, status: 'FINISHED', endTime: Date.now() });

    const run = await runs.get(runId);
    assert.equal(run.info.status, 'FINISHED');
    assert.equal(run.data.tags['someTag'], 'a b');
    assert.deepEqual(run.data.params, { depth: '3' });
    assert.deepEqual(
      run.inputs.datasetInputs.map((input) => [input.dataset.name, input.tags]),
      [['churn', { 'mlflow.data.context': 'training' }]],
    );
    assert.ok(Number.isNaN(run.data.metrics.find(({ key }) => key === 'odd')?.value));
    const history = [];
    for await (const point of metrics.getWholeHistory({ runId, metricKey: 'loss', maxResults: 900 }))
      history.push(point);
    assert.deepEqual(
      history.map(({ value }) => value),
      points.map(({ value }) => value),
    );
    const found = await runs.search({
      experimentIds: [experimentId],
      filter: allOf(tagFilter('key', 'run-1'), attributeFilter('attributes.status', 'FINISHED')),
    });
    assert.deepEqual(
      found.items.map(({ info }) => info.runId),
      [runId],
    );
  });

  test('walks the pages of a search', { skip }, async () => {
    const { runs } = connect();
    const { experimentId, runId } = await makeRun();
    const more = await Promise.all([1, 2].map(() => runs.create({ experimentId })));
    const ids = [];
    for await (const { info } of runs.searchAll({ experimentIds: [experimentId], maxResults: 1 }))
      ids.push(info.runId);
    assert.deepEqual(ids.toSorted(), [runId, ...more.map(({ info }) => info.runId)].toSorted());
  });

  test('stores artifacts through its proxy', { skip }, async (t) => {
    const { artifacts } = connect();
    const { runId, artifactUri: root } = await makeRun();
    const directory = await makeDirectory(t);
    const content = Buffer.alloc(3_000_000, 'anneal');
    await writeFile(join(directory, 'in'), content);
    await artifacts.put({ root, path: 'model dir/big ü 100%.bin', file: join(directory, 'in') });
    await artifacts.put({ root, path: 'model dir/empty', content: '' });
    assert.equal(
      await artifacts.download({ root, path: 'model dir/big ü 100%.bin', file: join(directory, 'out') }),
      content.byteLength,
    );
    assert.ok(content.equals(await readFile(join(directory, 'out'))));
    assert.equal((await artifacts.get({ root, path: 'model dir/empty' })).byteLength, 0);
    const expected = [
      { path: 'model dir/big ü 100%.bin', isDir: false, fileSize: content.byteLength },
      { path: 'model dir/empty', isDir: false, fileSize: 0 },
    ];
    assert.deepEqual(await artifacts.list({ runId, path: 'model dir' }), expected);
    assert.deepEqual(await artifacts.list({ root, path: 'model dir' }), expected);
    assert.deepEqual(await artifacts.list({ root }), [
      { path: 'model dir', isDir: true, fileSize: undefined },
    ]);
    await artifacts.delete({ root, path: 'model dir/empty' });
    assert.equal((await artifacts.list({ root, path: 'model dir' })).length, 1);
    await assert.rejects(
      artifacts.get({ root, path: 'none' }),
      (error) => isMlflowError(error) && error.status === 404,
    );
  });

  test('registers a logged model, moves an alias and finds the version by its tag', { skip }, async () => {
    const { runs, artifacts, loggedModels, registeredModels, modelVersions } = connect();
    const { experimentId, runId } = await makeRun();
    const { info } = await loggedModels.create({
      experimentId,
      name: 'clf',
      sourceRunId: runId,
      params: { depth: '3' },
      tags: { key: 'm-1' },
    });
    assert.equal(info.status, 'LOGGED_MODEL_PENDING');
    await artifacts.put({ root: info.artifactUri, path: 'MLmodel', content: 'flavors: {}\n' });
    assert.equal(
      (await loggedModels.finalize({ modelId: info.modelId, status: 'LOGGED_MODEL_READY' })).info.status,
      'LOGGED_MODEL_READY',
    );
    await loggedModels.setTags({ modelId: info.modelId, tags: { stage: 'gate' } });
    for (let repeat = 0; repeat < 2; repeat += 1)
      await runs.logOutputs({ runId, models: [{ modelId: info.modelId }] });
    assert.deepEqual(
      (await runs.get(runId)).outputs.modelOutputs.map(({ modelId }) => modelId),
      [info.modelId],
    );
    const found = await loggedModels.search({
      experimentIds: [experimentId],
      filter: tagFilter('key', 'm-1'),
    });
    assert.deepEqual(
      found.items.map(({ info: { modelId } }) => modelId),
      [info.modelId],
    );

    const name = unique('churn-predictor');
    await registeredModels.ensure({ name, tags: { team: 'x' } });
    await registeredModels.ensure({ name });
    await registeredModels.setTag({ name, key: 'owner', value: 'ana' });
    const key = createHash('sha256').update(name).digest('hex');
    const create = {
      name,
      source: `models:/${info.modelId}`,
      modelId: info.modelId,
      runId,
      tags: { 'mlflow.anneal.idempotencyKey': key },
    };
    const first = await modelVersions.create(create);
    const second = await modelVersions.create({ ...create, tags: {} });
    assert.deepEqual(
      [first.version, first.status, first.modelId, first.runId],
      ['1', 'READY', info.modelId, runId],
    );
    const filter = allOf(attributeFilter('name', name), tagFilter('mlflow.anneal.idempotencyKey', key));
    assert.deepEqual(
      (await modelVersions.search({ filter })).items.map(({ version }) => version),
      ['1'],
    );
    await modelVersions.update({ name, version: '1', description: 'passed' });
    await modelVersions.setTag({ name, version: '1', key: 'gate.f1', value: 'pass' });

    assert.equal(await registeredModels.findAlias({ name, alias: 'champion' }), undefined);
    await registeredModels.setAlias({ name, alias: 'champion', version: second.version });
    await registeredModels.setAlias({ name, alias: 'champion', version: '1' });
    const champion = await registeredModels.findAlias({ name, alias: 'champion' });
    assert.deepEqual(
      [champion?.version, champion?.description, champion?.tags['gate.f1']],
      ['1', 'passed', 'pass'],
    );
    assert.deepEqual((await registeredModels.get(name)).aliases, [{ alias: 'champion', version: '1' }]);
    await registeredModels.deleteAlias({ name, alias: 'champion' });
    await modelVersions.delete({ name, version: second.version });
    await assert.rejects(modelVersions.get({ name, version: second.version }), (error) =>
      isMlflowError(error, 'RESOURCE_DOES_NOT_EXIST'),
    );
    await assert.rejects(registeredModels.findAlias({ name: unique('none'), alias: 'champion' }), (error) =>
      isMlflowError(error, 'RESOURCE_DOES_NOT_EXIST'),
    );
    assert.deepEqual(
      (await registeredModels.search({ filter: attributeFilter('name', name) })).items.map(
        ({ tags }) => tags,
      ),
      [{ team: 'x', owner: 'ana' }],
    );
  });

  test('has made exactly one version when the answer was lost, and the tag finds it', { skip }, async (t) => {
    const proxy = await startLossyProxy(t, trackingUri);
    const { modelVersions, registeredModels } = connect(proxy.uri);
    const { runId } = await makeRun();
    const { experimentId } = (await connect().runs.get(runId)).info;
    const model = await connect().loggedModels.create({ experimentId, sourceRunId: runId });
    const name = unique('lost');
    await registeredModels.ensure({ name });
    proxy.loseAnswers('model-versions/create');
    const create = modelVersions.create({
      name,
      source: `models:/${model.info.modelId}`,
      modelId: model.info.modelId,
      tags: { key: 'k1' },
    });
    await assert.rejects(
      create,
      (error) => isMlflowError(error, 'CONNECTION_LOST') && error.doubt && error.retryable,
    );
    assert.equal(proxy.lost(), 1);
    const found = await modelVersions.search({
      filter: allOf(attributeFilter('name', name), tagFilter('key', 'k1')),
    });
    assert.deepEqual(
      found.items.map(({ version }) => version),
      ['1'],
    );
  });

  test('is left right by calls that repeat themselves after lost answers', { skip }, async (t) => {
    const proxy = await startLossyProxy(t, trackingUri);
    const { experiments, registeredModels, modelVersions, runs } = connect(proxy.uri);
    const { experimentId, runId } = await makeRun();
    const { info } = await connect().loggedModels.create({ experimentId, sourceRunId: runId });
    proxy.loseAnswers('experiments/create');
    assert.match(await experiments.ensure({ name: unique('lost') }), /^\d+$/);
    proxy.loseAnswers('registered-models/create');
    const name = unique('lost');
    assert.equal((await registeredModels.ensure({ name })).name, name);
    proxy.loseAnswers('runs/outputs');
    await runs.logOutputs({ runId, models: [{ modelId: info.modelId }] });
    proxy.loseAnswers('runs/log-batch');
    await runs.logBatch({ runId, metrics: [{ key: 'loss', value: 1, timestamp: 5, step: 0 }] });
    const { version } = await modelVersions.create({
      name,
      source: `models:/${info.modelId}`,
      modelId: info.modelId,
    });
    proxy.loseAnswers('model-versions/delete');
    await modelVersions.delete({ name, version });
    assert.equal(proxy.lost(), 5);
    assert.equal((await connect().runs.get(runId)).outputs.modelOutputs.length, 1);
    assert.equal((await connect().metrics.getHistory({ runId, metricKey: 'loss' })).items.length, 1);
    assert.deepEqual(
      (await connect().modelVersions.search({ filter: attributeFilter('name', name) })).items,
      [],
    );
  });
});
