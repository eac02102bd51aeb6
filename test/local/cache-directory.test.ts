import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, test } from 'node:test';

import { makeUserCacheDirectory, userCacheDirectory } from '../../src/adapters/cache-directory.js';

describe('the cache directory', () => {
  test('is absolute also where HOME is empty', () => {
    assert.ok(path.isAbsolute(userCacheDirectory({ HOME: '' })));
  });

  test('that cannot be made is a sentence that names XDG_CACHE_HOME', async () => {
    const root = await mkdtemp(path.join(tmpdir(), 'anneal-cache-'));
    try {
      const file = path.join(root, 'file');
      await writeFile(file, '');
      await assert.rejects(makeUserCacheDirectory({ HOME: file }), {
        code: 'SETUP_FAILED',
        message: /cannot be made .* Set XDG_CACHE_HOME/,
      });
    } finally {
      await rm(root, { recursive: true });
    }
  });
});
