import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { createStepTracking } from '../../src/activities/tracking-step.js';
import { storeKeys } from '../../src/core/artifact-store.js';
import type { ArtifactKind, ArtifactRef } from '../../src/core/artifacts.js';
import type { AttemptRequest } from '../../src/core/attempt.js';
import { buildRequest, createContext, createMemoryStore, withMlflow } from './fixtures.js';

const store = createMemoryStore();
const OUTPUT = store.uriOf(storeKeys.output('exec-0', 'features-a1', 'data'));

function ref(kind: ArtifactKind, uri: string): ArtifactRef {
  return { kind, uri, digest: 'a'.repeat(64), sizeBytes: 7, form: 'file', values: {} };
}

/** The data sets of the MLflow run of a step with that request, as MLflow was sent them. */
async function sent(
  overrides: Partial<AttemptRequest>,
): Promise<{ dataset: Record<string, string>; tags: Record<string, string> }[]> {
  const found: unknown[] = [];
  await withMlflow(async ({ fake, tracking, clock }) => {
    const steps = createStepTracking({ tracking, clock, store, context: createContext() });
    await steps.openStepRun({ request: buildRequest(overrides), name: 'train-a1', runId: 'nightly/1' });
    found.push(...(fake.state.runs[0]?.datasets ?? []));
  });
  return (found as { dataset: Record<string, string>; tags: { key: string; value: string }[] }[]).map(
    ({ dataset, tags }) => ({
      dataset,
      tags: Object.fromEntries(tags.map(({ key, value }) => [key, value])),
    }),
  );
}

const preview = (more: object) => ({
  type: 'table',
  format: 'csv',
  columns: [
    { name: 'age', type: 'integer' },
    { name: 'name', type: 'something' },
  ],
  rowCount: 3_333,
  rows: [],
  ...more,
});

async function storeManifest(shown: unknown): Promise<void> {
  const outputs = { data: { ...ref('Dataset', OUTPUT), files: [], preview: shown } };
  const manifest = {
    version: 1,
    attempt: 'features-a1',
    outputs,
    parameters: {},
    startedAtMs: 1,
    endedAtMs: 2,
  };
  await store.putBytes(storeKeys.manifest('exec-0', 'features-a1'), Buffer.from(JSON.stringify(manifest)));
}

describe('the data sets of a step', () => {
  test('have columns and rows as their maker’s manifest shows them, and a digest that MLflow takes', async () => {
    await storeManifest(preview({}));
    const [found] = await sent({ inputs: { data: ref('Dataset', OUTPUT) } });
    assert.equal(found?.dataset['digest'], 'a'.repeat(32));
    assert.equal(found.tags['anneal.digest'], 'a'.repeat(64));
    assert.deepEqual(JSON.parse(found.dataset['schema'] ?? ''), {
      mlflow_colspec: [
        { type: 'long', name: 'age', required: false },
        { type: 'string', name: 'name', required: false },
      ],
    });
    assert.deepEqual(JSON.parse(found.dataset['profile'] ?? ''), { num_rows: 3_333 });
  });

  test('have neither where only a part is known, or the manifest is gone or torn', async () => {
    const inputs = { data: ref('Dataset', OUTPUT) };
    for (const shown of [preview({ columnCount: 900, rowsAtLeast: true }), { type: 'none', why: 'x' }]) {
      await storeManifest(shown);
      const [found] = await sent({ inputs });
      assert.deepEqual([found?.dataset['schema'], found?.dataset['profile']], [undefined, undefined]);
    }
    const key = storeKeys.manifest('exec-0', 'features-a1');
    await store.putBytes(key, Buffer.from('{"outp'));
    assert.equal((await sent({ inputs })).length, 1);
    store.objects.delete(key);
    assert.equal((await sent({ inputs })).length, 1);
  });

  for (const [uri, type, source] of [
    ['s3://b/k.csv', 's3', { uri: 's3://b/k.csv' }],
    ['https://h/k.csv', 'http', { url: 'https://h/k.csv' }],
    ['file:///k.csv', 'local', { uri: 'file:///k.csv' }],
  ] as const)
    test(`say that ${uri} is ${type}`, async () => {
      const [found] = await sent({ inputs: { data: ref('Dataset', uri) } });
      assert.equal(found?.dataset['source_type'], type);
      assert.deepEqual(JSON.parse(found.dataset['source'] ?? ''), source);
    });

  const model = { type: 'artifact', kind: 'Model' } as const;
  for (const [name, request, expected] of [
    ['validationSet', { outputs: { model } }, 'validation'],
    ['test-data', {}, 'testing'],
    ['trainX', {}, 'training'],
    ['data', { outputs: { model } }, 'training'],
    ['data', { inputs: { model: ref('Model', 'file:///m') } }, 'evaluation'],
    ['contested', {}, undefined],
  ] as const)
    test(`called ${name} are used for ${expected ?? 'something unknown'}`, async () => {
      const inputs = { ...('inputs' in request ? request.inputs : {}), [name]: ref('Dataset', 'file:///d') };
      const outputs = 'outputs' in request ? request.outputs : {};
      const [found] = await sent({ inputs, outputs });
      assert.equal(found?.tags['mlflow.data.context'], expected);
    });
});

test('the run of a step says of which code, lock, image and commit it is, and a later attempt of another build says so', () =>
  withMlflow(async ({ fake, tracking, clock }) => {
    const readCode = ({ build }: { readonly build: string }) =>
      Promise.resolve({ origin: { commit: `commit of ${build}`, dirty: false }, pythonDigest: 'lock' });
    const steps = createStepTracking({ tracking, clock, readCode, context: createContext() });
    const open = async (request: AttemptRequest) =>
      await steps.openStepRun({ request, name: `train-a${request.attempt}`, runId: 'nightly/1' });
    await open(buildRequest({ image: 'img@sha256:1' }));
    await open(buildRequest({ image: 'img@sha256:1', attempt: 2, build: 'b2', codeDigest: 'd2' }));
    const [run, ...others] = fake.state.runs;
    assert.deepEqual(others, []);
    const tags = Object.fromEntries(run?.tags ?? []);
    assert.equal(tags['mlflow.source.git.commit'], 'commit of b2');
    assert.equal(tags['mlflow.source.git.dirty'], 'false');
    assert.equal(tags['anneal.code_digest'], 'd2');
    assert.equal(tags['anneal.build'], 'b2');
    assert.equal(tags['anneal.python_digest'], 'lock');
    assert.equal(tags['mlflow.docker.image.uri'], 'img@sha256:1');
  }));
