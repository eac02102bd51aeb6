import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';

import { watchClaims } from '../../src/agent/stop-requests.js';

test('the time that a machine slept does not count as unclaimed', async (t) => {
  const root = await mkdtemp(path.join(tmpdir(), 'anneal-claims-'));
  t.after(() => rm(root, { recursive: true, force: true }));
  const claimed = path.join(root, 'claimed');
  await writeFile(claimed, '');
  let looks = 0;
  // The clock goes on for a second between two looks that are 50 ms apart.
  const nowMs = () => looks++ * 1_000;
  await new Promise<void>((resolve) => {
    const claims = watchClaims({ claimed }, { unclaimedMs: 200, nowMs }, () => {
      claims.end();
      resolve();
    });
    claims.start();
  });
  // One at the start, one that sees the claim, and two that count 100 ms each.
  assert.equal(looks, 4);
});
