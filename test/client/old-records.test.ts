import assert from 'node:assert/strict';
import { test } from 'node:test';
import { findOldRecords } from '../../src/client/retention/old-records.js';
import { storeKeys } from '../../src/core/artifact-store.js';
import { readRetention } from '../../src/core/retention.js';
import { createMemoryStore } from '../activities/memory-store.js';

const DAY = 86_400_000;
const NOW = Date.UTC(2026, 10, 23);

/** A store whose clock can be set. */
function createWorld() {
  const world = { nowMs: NOW };
  const store = createMemoryStore(() => world.nowMs);
  const put = async (key: string, daysAgo: number, value: object = {}) => {
    world.nowMs = NOW - daysAgo * DAY;
    await store.putBytes(key, Buffer.from(JSON.stringify(value)));
  };
  const old = async () => await findOldRecords(store, 'p', { policy: readRetention(), nowMs: NOW });
  return { put, old };
}

test('records of partitions go with their runs, and stay as long as those', async () => {
  const { put, old } = createWorld();
  const keyOf = (segment: string) => storeKeys.partition({ project: 'p', pipeline: 'daily', segment });
  await put(keyOf('kept'), 200, { executionId: 'kept' });
  await put(storeKeys.run('kept'), 200);
  await put(keyOf('gone'), 200, { executionId: 'gone' });
  await put(keyOf('new'), 10, { executionId: 'gone' });
  assert.deepEqual(await old(), [keyOf('gone')]);
});

test('records of fired triggers go when they are old and looked past; marks when the trigger is no more', async () => {
  const { put, old } = createWorld();
  const place = (key: string) => ({ project: 'p', pipeline: 'report', key });
  await put(storeKeys.activeTriggers('p'), 300);
  await put(storeKeys.triggerMark(place('live')), 0);
  await put(storeKeys.triggerFired(place('live'), 'old'), 200);
  await put(storeKeys.triggerFired(place('live'), 'new'), 10);
  await put(storeKeys.triggerMark(place('removed')), 150);
  await put(storeKeys.triggerFired(place('removed'), 'last'), 150);
  await put(storeKeys.triggerFired(place('removed'), 'before'), 160);
  assert.deepEqual(await old(), [
    storeKeys.triggerFired(place('live'), 'old'),
    storeKeys.triggerFired(place('removed'), 'before'),
    storeKeys.triggerMark(place('removed')),
  ]);
});

test('skipped times go when they are old; what a schedule is accounted with stays as long as it is', async () => {
  const { put, old } = createWorld();
  const place = { project: 'p', pipeline: 'nightly' };
  await put(storeKeys.scheduleAccount(place), 0, { digest: 'now' });
  await put(storeKeys.scheduleDefinition(place, 'now'), 400);
  await put(storeKeys.scheduleDefinition(place, 'before'), 400);
  await put(storeKeys.scheduleSkip(place, NOW - 200 * DAY), 200);
  await put(storeKeys.scheduleSkip(place, NOW - 10 * DAY), 10);
  const removed = { project: 'p', pipeline: 'removed' };
  await put(storeKeys.scheduleAccount(removed), 100, { digest: 'last' });
  assert.deepEqual(await old(), [
    storeKeys.scheduleDefinition(place, 'before'),
    storeKeys.scheduleSkip(place, NOW - 200 * DAY),
    storeKeys.scheduleAccount(removed),
  ]);
});

test('nothing of another project is touched', async () => {
  const { put, old } = createWorld();
  await put(storeKeys.scheduleSkip({ project: 'other', pipeline: 'nightly' }, NOW), 400);
  await put(storeKeys.triggerFired({ project: 'other', pipeline: 'a', key: 'k' }, 'e'), 400);
  assert.deepEqual(await old(), []);
});
