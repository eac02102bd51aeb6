import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { PipelineDefinition } from '../../src/core/pipeline-definition.js';
import type { TriggerDefinition } from '../../src/core/triggers.js';
import { createWakeSweeper } from '../../src/workers/wake-sweeper.js';

const pipeline = (name: string, triggers: readonly TriggerDefinition[] = []): PipelineDefinition => ({
  ...{ name, params: {}, tags: [], notify: {} },
  triggers,
});

function createWorld() {
  const world = { nowMs: 0, asked: 0, looks: 0, away: false, logged: [] as string[] };
  const wake = createWakeSweeper({
    nowMs: () => world.nowMs,
    log: (message) => world.logged.push(message),
    ask: async () => {
      if (world.away) throw new Error('Temporal is away');
      world.asked++;
      await Promise.resolve();
    },
    readCurrent: async () => {
      world.looks++;
      return await Promise.resolve({
        pipelines: [
          pipeline('ingest'),
          pipeline('report', [{ after: 'ingest' }, { alias: 'churn@champion' }]),
        ],
      });
    },
  });
  return Object.assign(world, { wake });
}

test('the sweeper is asked to look at once for what a trigger waits for, and for nothing else', async () => {
  const world = createWorld();
  await world.wake({ kind: 'run', pipeline: 'ingest' });
  await world.wake({ kind: 'alias', alias: 'churn@champion' });
  assert.equal(world.asked, 2);
  await world.wake({ kind: 'run', pipeline: 'report' });
  await world.wake({ kind: 'alias', alias: 'churn@challenger' });
  assert.equal(world.asked, 2);
});

test('what triggers wait for is not looked up for each of many runs', async () => {
  const world = createWorld();
  for (let i = 0; i < 50; i++) await world.wake({ kind: 'run', pipeline: 'other' });
  assert.equal(world.looks, 1);
  world.nowMs += 60_000;
  await world.wake({ kind: 'run', pipeline: 'other' });
  assert.equal(world.looks, 2);
});

test('a run ends although the sweeper cannot be asked', async () => {
  const world = createWorld();
  world.away = true;
  await world.wake({ kind: 'run', pipeline: 'ingest' });
  assert.match(world.logged.join(), /was not asked to look at triggers: Error: Temporal is away/);
});
