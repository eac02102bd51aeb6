import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { prepareInputs, type InputSources } from '../../src/agent/prepare-attempt.js';
import type { ArtifactRef } from '../../src/core/artifacts.js';
import { createMemoryStore } from '../activities/memory-store.js';

const FILES = 20;
const notUsed = async () => await Promise.reject<never>(new Error('not used here'));

/** An input of many files in a store that counts how many of them are fetched at once. */
async function fetchAll(root: string, broken?: number) {
  const store = createMemoryStore();
  const uri = store.uriOf('runs/e/attempts/make-a1/outputs/data');
  const files = Array.from({ length: FILES }, (_, n) => ({ path: `part-${n}`, sizeBytes: 1, sha256: '' }));
  const output = { kind: 'Dataset', form: 'directory', uri, digest: 'd', sizeBytes: FILES, files };
  const manifest = Buffer.from(JSON.stringify({ outputs: { data: output } }));
  await store.putBytes('runs/e/attempts/make-a1/manifest.json', manifest);
  const seen = { now: 0, most: 0, begun: 0 };
  const fetchFile = async (key: string, local: string) => {
    seen.begun++;
    seen.most = Math.max(seen.most, ++seen.now);
    for (let i = 0; i < 5; i++) await turn();
    seen.now--;
    if (key.endsWith(`/part-${broken}`)) throw new Error('gone');
    await writeFile(local, 'x');
  };
  const inputs = path.join(root, 'inputs');
  await mkdir(inputs);
  const sources: InputSources = {
    store: { ...store, fetchFile },
    data: { find: notUsed, fetch: notUsed },
  };
  const ref: ArtifactRef = {
    kind: 'Dataset',
    form: 'directory',
    uri,
    digest: 'd',
    sizeBytes: FILES,
    values: {},
  };
  const done = prepareInputs(
    sources,
    { inputs: { data: ref }, parameters: {} },
    {
      ...{ inputs, parameters: inputs, mountOf: () => '' },
    },
  );
  return { done, seen, folder: path.join(inputs, 'data') };
}

describe('an input of many files', () => {
  const inFolder = async (work: (root: string) => Promise<void>) => {
    const root = await mkdtemp(path.join(tmpdir(), 'anneal-inputs-'));
    await work(root).finally(async () => await rm(root, { recursive: true, force: true }));
  };

  test('is fetched some files at a time', async () => {
    await inFolder(async (root) => {
      const { done, seen, folder } = await fetchAll(root);
      await done;
      assert.equal((await readdir(folder)).length, FILES);
      assert.equal(seen.most, 4);
    });
  });

  test('ends with the first file that is not there, and nothing of it goes on behind that', async () => {
    await inFolder(async (root) => {
      const { done, seen } = await fetchAll(root, 0);
      await assert.rejects(done, /gone/);
      assert.equal(seen.now, 0);
      assert.ok(seen.begun < FILES, `${seen.begun} files`);
    });
  });
});
