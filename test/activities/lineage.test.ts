import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { createLineageWriter, recordReuse } from '../../src/activities/lineage.js';
import type { ArtifactStore } from '../../src/core/artifact-store.js';
import type { ArtifactRef } from '../../src/core/artifacts.js';
import { digestOfText } from '../../src/core/digest.js';
import { AnnealError } from '../../src/core/failures.js';
import type { LineageStep } from '../../src/core/lineage.js';
import type { RunStatus } from '../../src/core/run.js';
import { buildRequest, buildSucceeded } from '../tracking/fixtures.js';
import { createMemoryStore } from './memory-store.js';

const CODE = { origin: { commit: 'c'.repeat(40), dirty: false }, pythonDigest: 'p1' };
const readCode = () => Promise.resolve(CODE);
const S3 = 's3://bucket/customers.csv';

function ref(kind: ArtifactRef['kind'], digest: string, uri = `memory://store/x/${digest}`): ArtifactRef {
  return { kind, uri, digest, sizeBytes: 1, form: 'file', values: {} };
}

function attempt() {
  const customers = { ...ref('Dataset', 'd1', S3), pin: { pinnedAtMs: 1, source: S3 } };
  const request = buildRequest({ inputs: { customers } });
  const outcome = {
    ...buildSucceeded({}),
    outputs: { model: ref('Model', 'm1') },
    trackingRunId: 'mlflow-1',
  };
  return { request, runId: 'nightly/1', outcome };
}

describe('the lineage of a step', () => {
  test('is one record, and pointers from what it made, what it used, its run and the place of its data', async () => {
    const store = createMemoryStore();
    await createLineageWriter({ store, readCode }).recordStep(attempt());
    const record = 'lineage/steps/exec-1/train-a1.json';
    assert.deepEqual([...store.objects.keys()].sort(), [
      'lineage/artifacts/d1/used/exec-1.train-a1.json',
      'lineage/artifacts/m1/made/exec-1.train-a1.json',
      'lineage/runs/nightly%2F1/exec-1.json',
      `lineage/sources/${digestOfText(S3)}/d1.json`,
      record,
    ]);
    const { code, inputs, tracking, pythonDigest, codeDigest, parameters } = read(store, record);
    assert.deepEqual(code, CODE.origin);
    assert.deepEqual([pythonDigest, codeDigest], ['p1', 'd1']);
    assert.deepEqual(inputs['customers'], {
      kind: 'Dataset',
      uri: S3,
      digest: 'd1',
      sizeBytes: 1,
      source: S3,
    });
    assert.deepEqual(tracking, { experimentId: '1', runId: 'mlflow-1' });
    assert.deepEqual(parameters, { trees: 200, rate: 0.1 });
    for (const [key, bytes] of store.objects) if (key !== record) assert.ok(bytes.length < 300, key);
  });

  test('is what the first writer said, however often it is written', async () => {
    const store = createMemoryStore();
    await createLineageWriter({ store, readCode }).recordStep(attempt());
    const before = new Map(store.objects);
    // The build's commit is known differently by then.
    const later = () => Promise.resolve({});
    await createLineageWriter({ store, readCode: later }).recordStep(attempt());
    assert.deepEqual(new Map(store.objects), before);
  });

  test('leaves long parameters out, and steps without artifacts', async () => {
    const store = createMemoryStore();
    const writer = createLineageWriter({ store, readCode });
    const { request, outcome, runId } = attempt();
    const bare = { request: buildRequest(), runId, outcome: { ...outcome, outputs: {} } };
    await writer.recordStep(bare);
    assert.equal(store.objects.size, 0);
    const long = { ...request, parameters: { text: 'x'.repeat(5_000) } };
    await writer.recordStep({ request: long, runId, outcome });
    assert.equal(read(store, 'lineage/steps/exec-1/train-a1.json').parameters, undefined);
  });

  test('is flushed where a model was made; the run is pointed at once', async () => {
    const flushed: string[] = [];
    const written: string[] = [];
    const putBytes: ArtifactStore['putBytes'] = (key, _bytes, options) => {
      written.push(key);
      if (options?.remakeable !== true) flushed.push(key);
      return Promise.resolve('stored');
    };
    const writer = createLineageWriter({ store: { putBytes }, readCode });
    const { request, outcome, runId } = attempt();
    const features = { ...outcome, attemptName: 'features-a1', outputs: { data: ref('Dataset', 'd2') } };
    await writer.recordStep({ request, runId, outcome: features });
    await writer.settle();
    assert.deepEqual(flushed, []);
    await writer.recordStep({ request, runId, outcome });
    assert.deepEqual(flushed, ['lineage/steps/exec-1/train-a1.json']);
    assert.equal(written.filter((key) => key.startsWith('lineage/runs/')).length, 1);
  });

  test('holds up the steps that made a model, and others only when many wait for the store', async () => {
    const waiting: (() => void)[] = [];
    const putBytes: ArtifactStore['putBytes'] = async () => {
      await new Promise<void>((resolve) => waiting.push(resolve));
      return 'stored';
    };
    const writer = createLineageWriter({ store: { putBytes }, readCode });
    const { request, outcome, runId } = attempt();
    const record = async (attemptName: string, output: ArtifactRef) => {
      const outputs = { data: output };
      await writer.recordStep({ request, runId, outcome: { ...outcome, attemptName, outputs } });
      return attemptName;
    };
    const answered: string[] = [];
    const model = record('model-a1', ref('Model', 'm')).then((name) => answered.push(name));
    for (let n = 0; n < 64; n++) answered.push(await record(`features-a${n}`, ref('Dataset', `d${n}`)));
    const late = record('late-a1', ref('Dataset', 'late')).then((name) => answered.push(name));
    const settled = writer.settle().then(() => answered.push('settled'));
    await new Promise(setImmediate);
    assert.deepEqual(answered.slice(64), []);
    const free = setInterval(() => waiting.splice(0).forEach((resolve) => resolve()), 1);
    await Promise.all([model, late, settled]);
    clearInterval(free);
    assert.deepEqual(answered.slice(64).sort(), ['late-a1', 'model-a1', 'settled']);
  });

  test('is logged, and holds up nothing, where the store refuses it', async () => {
    const logged: string[] = [];
    const putBytes = () => Promise.reject(new AnnealError('StoreUnavailable', 'The disk is full.'));
    const log = (message: string) => void logged.push(message);
    await createLineageWriter({ store: { putBytes }, readCode, log }).recordStep(attempt());
    assert.match(logged.join(), /attempt train-a1 .*The disk is full/);
  });
});

test('a call that was answered from the cache leads to the run that made the bytes, and back', async () => {
  const store = createMemoryStore();
  const cachedFrom = { runId: 'nightly/1', executionId: 'exec-1' };
  const call = { id: 'c', kind: 'step', name: 'train', attempt: 1, startedAtMs: 1 } as const;
  const record: RunStatus = {
    runId: 'nightly/2',
    executionId: 'exec-2',
    pipeline: 'churn-training',
    project: 'churn',
    build: 'b1',
    state: 'completed',
    parameters: {},
    startedAtMs: 1,
    calls: [
      { ...call, state: 'cached', attemptName: 'train-a1', cachedFrom },
      { ...call, state: 'succeeded', attemptName: 'other-a1' },
    ],
    counts: {},
    continuations: 0,
    approvals: [],
  };
  await recordReuse(store, record);
  assert.deepEqual([...store.objects.keys()].sort(), [
    'lineage/reused/exec-1/train-a1/exec-2.json',
    'lineage/runs/nightly%2F2/exec-2.json',
    'lineage/steps/exec-2/train-a1.json',
  ]);
});

function read(store: ReturnType<typeof createMemoryStore>, key: string): LineageStep {
  return JSON.parse(new TextDecoder().decode(store.objects.get(key))) as LineageStep;
}
