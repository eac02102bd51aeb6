import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { createCacheIndex } from '../../src/activities/cache.js';
import { storeKeys, type ArtifactStore } from '../../src/core/artifact-store.js';
import type { ArtifactRef } from '../../src/core/artifacts.js';
import { AnnealError } from '../../src/core/failures.js';
import { buildSucceeded, createMemoryStore } from '../tracking/fixtures.js';

const model: ArtifactRef<'Model'> = {
  kind: 'Model',
  uri: 'memory://store/executions/exec-1/train-a1/outputs/model',
  digest: 'd1',
  sizeBytes: 1,
  form: 'directory',
  values: {},
};
const MADE = { outcome: { ...buildSucceeded({}), outputs: { model } }, runId: 'nightly/1' };
const MANIFEST = 'executions/exec-1/train-a1/manifest.json';

describe('the cache index', () => {
  test('takes an entry whose files are in another place than the store for no entry', async () => {
    const { index } = await createIndex({
      keyOf: () => {
        throw new AnnealError('InvalidInput', 'The URI is not below the store.');
      },
    });
    assert.equal(await index.lookUp('k', undefined), null);
  });

  test('takes an entry whose manifest is torn for no entry', async () => {
    const { index, store } = await createIndex();
    await store.putBytes(MANIFEST, Buffer.from('{"version": 1, "outp'));
    assert.equal(await index.lookUp('k', undefined), null);
  });

  test('takes an entry that is torn itself for no entry', async () => {
    const { index, store } = await createIndex();
    await store.putBytes(storeKeys.cache('k'), Buffer.from('{"storedAtMs": 5, "outputs": nu'));
    assert.equal(await index.lookUp('k', undefined), null);
  });

  test('finds an entry, and none that is too old', async () => {
    const { index, store } = await createIndex();
    const manifest = { outputs: { model: { ...model, files: [] } } };
    await store.putBytes(MANIFEST, Buffer.from(JSON.stringify(manifest)));
    assert.equal((await index.lookUp('k', undefined))?.runId, 'nightly/1');
    assert.equal(await index.lookUp('k', -1), null);
  });

  test('says when the store does not answer', async () => {
    const { index } = await createIndex({
      readBytes: () => Promise.reject(new AnnealError('StoreUnavailable', 'The disk is gone.')),
    });
    await assert.rejects(index.lookUp('k', undefined), { code: 'StoreUnavailable' });
  });
});

async function createIndex(broken: Partial<ArtifactStore> = {}) {
  const store = { ...createMemoryStore(), ...broken };
  const index = createCacheIndex(store, { nowMs: () => 1_000 });
  await index.store('k', MADE);
  return { index, store };
}
