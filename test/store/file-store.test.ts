import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, test } from 'node:test';

import { createFileStore } from '../../src/adapters/file-store/create-file-store.js';
import { describeArtifactStore } from './contract.js';

for (const shareFiles of [true, false]) {
  describeArtifactStore(`file, ${shareFiles ? 'shared' : 'copied'} files`, async () => {
    const root = await mkdtemp(path.join(tmpdir(), 'anneal-store-'));
    return {
      store: createFileStore({ root: path.join(root, 'store'), shareFiles }),
      stop: () => rm(root, { recursive: true, force: true }),
    };
  });
}

describe('file store', () => {
  test('hands out read-only files and leaves nothing temporary behind', async (t) => {
    const root = await mkdtemp(path.join(tmpdir(), 'anneal-store-'));
    t.after(() => rm(root, { recursive: true, force: true }));
    const store = createFileStore({ root: path.join(root, 'store'), shareFiles: true });
    await store.putBytes('a/b', new TextEncoder().encode('x'), { ifAbsent: true });
    await store.putBytes('a/b', new TextEncoder().encode('y'), { ifAbsent: true });
    await store.fetchFile('a/b', path.join(root, 'fetched'));
    assert.equal((await stat(path.join(root, 'fetched'))).mode & 0o777, 0o444);
    assert.deepEqual(await readdir(path.join(root, 'store', '.incoming')), []);
  });

  test('does not share its files where that is switched off', async (t) => {
    const root = await mkdtemp(path.join(tmpdir(), 'anneal-store-'));
    t.after(() => rm(root, { recursive: true, force: true }));
    const store = createFileStore({ root: path.join(root, 'store'), shareFiles: false });
    await store.putBytes('a', new TextEncoder().encode('x'));
    await store.fetchFile('a', path.join(root, 'fetched'));
    assert.equal((await stat(path.join(root, 'fetched'))).nlink, 1);
  });

  test('says StoreUnavailable, the key and the reason when its folder cannot be written', async (t) => {
    const root = await mkdtemp(path.join(tmpdir(), 'anneal-store-'));
    t.after(() => rm(root, { recursive: true, force: true }));
    await writeFile(path.join(root, 'file'), '');
    const store = createFileStore({ root: path.join(root, 'file') });
    await assert.rejects(store.putBytes('a/b', new Uint8Array()), (error: unknown) => {
      assert.ok(error instanceof Error && 'code' in error);
      assert.equal(error.code, 'StoreUnavailable');
      assert.match(error.message, /cannot store "a\/b": E/);
      return true;
    });
  });
});
