import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { openStore } from '../../src/adapters/open-store.js';
import { storeKeys } from '../../src/core/artifact-store.js';
import { BUILD_FILES, BUILD_VERSION } from '../../src/workers/build/build-manifest.js';
import { createReadCode, openReadCode } from '../../src/workers/read-code.js';
import { makeBuild } from './made-build.js';

test('the origin of a build is known better when the same sources are built again', async () => {
  const buildsDir = await mkdtemp(path.join(tmpdir(), 'anneal-read-code-'));
  try {
    const build = 'a'.repeat(64);
    const write = async (origin?: object) => {
      const steps = [{ name: 'train', pythonDigest: 'p1' }];
      const manifest = JSON.stringify({ version: BUILD_VERSION, digest: build, steps, origin });
      await mkdir(path.join(buildsDir, build), { recursive: true });
      await writeFile(path.join(buildsDir, build, BUILD_FILES.manifest), manifest);
    };
    const readCode = createReadCode(buildsDir);
    assert.deepEqual(await readCode({ build, step: 'train' }), {});
    await write();
    assert.deepEqual(await readCode({ build, step: 'train' }), { pythonDigest: 'p1' });
    const origin = { commit: 'c'.repeat(40), dirty: false };
    await write(origin);
    assert.deepEqual(await readCode({ build, step: 'train' }), { origin, pythonDigest: 'p1' });
  } finally {
    await rm(buildsDir, { recursive: true, force: true });
  }
});

test('what a build of the store was made from is known on a machine that does not have it', async () => {
  const root = await mkdtemp(path.join(tmpdir(), 'anneal-read-code-'));
  try {
    const store = openStore({ root: path.join(root, 'store') });
    const { digest, manifest } = await makeBuild(path.join(root, 'desk'), 'one');
    const origin = { commit: 'c'.repeat(40), dirty: false };
    await store.putBytes(
      storeKeys.build(digest) + BUILD_FILES.manifest,
      Buffer.from(JSON.stringify({ ...manifest, origin })),
    );
    const config = { root: path.join(root, 'other'), store: { root: path.join(root, 'store') } };
    const of = { build: digest, step: 'write' };
    const pythonDigest = manifest.steps[0]?.pythonDigest;
    assert.deepEqual(await openReadCode({ ...config, builds: 'store' }, store)(of), { origin, pythonDigest });
    assert.deepEqual(await openReadCode({ ...config, builds: 'directory' }, store)(of), {});
  } finally {
    await rm(root, { recursive: true, force: true });
  }
});
