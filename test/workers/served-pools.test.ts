import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { poolsForHost } from '../../src/config/host-pools.js';
import { loadConfig } from '../../src/config/load-config.js';
import { announceServedPools, readServedPools, SERVED_MS } from '../../src/workers/served-pools.js';
import { withProject } from '../build/fixture-project.js';

describe('the pools that a machine serves', () => {
  let stateDir = '';
  const stop = new AbortController();
  before(async () => void (stateDir = await mkdtemp(path.join(tmpdir(), 'anneal-served-'))));
  after(async () => {
    stop.abort();
    await rm(stateDir, { recursive: true, force: true });
  });
  const served = async (host: string, nowMs = Date.now()) =>
    [...(await readServedPools({ stateDir, host }, nowMs))].sort();

  test('are none before a worker says so', async () => assert.deepEqual(await served('box'), []));

  test('are those of all its workers, and of no other machine', async () => {
    await announceServedPools({ stateDir, host: 'box' }, ['cpu'], stop.signal);
    await announceServedPools({ stateDir, host: 'box' }, ['gpu', 'cpu'], stop.signal);
    await announceServedPools({ stateDir, host: 'attic' }, ['old'], stop.signal);
    assert.deepEqual(await served('box'), ['cpu', 'gpu']);
    assert.deepEqual(await served('attic'), ['old']);
  });

  test('stay served while a worker is started again, and not for ever', async () => {
    assert.deepEqual(await served('box', Date.now() + SERVED_MS - 10_000), ['cpu', 'gpu']);
    assert.deepEqual(await served('box', Date.now() + SERVED_MS + 10_000), []);
    assert.deepEqual(await readdir(path.join(stateDir, 'serving')), []);
  });

  test('are told from the others in the snapshot of a run', () =>
    withProject({ 'anneal.yaml': 'project: small\npools:\n  cpu: {}\n  gpu: { gpu: 1 }\n' }, async (root) => {
      const config = await loadConfig({ cwd: root, env: {} });
      const shown = poolsForHost(config, { name: 'box' }, new Set(['cpu']));
      assert.deepEqual(
        shown.map(({ name, unservedOn }) => [name, unservedOn]),
        [
          ['cpu', undefined],
          ['gpu', 'box'],
        ],
      );
    }));
});
