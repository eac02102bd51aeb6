import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { BUILD_FILES, BUILD_VERSION } from '../../src/workers/build/build-manifest.js';
import { createReadCode } from '../../src/workers/read-code.js';

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
