import assert from 'node:assert/strict';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { sweepTriggers } from '../../src/activities/sweep-triggers.js';
import type { PipelineDefinition } from '../../src/core/pipeline-definition.js';
import { createRunDirectory } from '../../src/workers/run-directory.js';
import { createTriggerDirectory } from '../../src/workers/trigger-directory.js';
import { until } from '../system/support/until.js';
import { createMemoryStore } from '../tracking/fixtures.js';
import { PROJECT, startHarness, type Harness } from '../workflows/harness.js';

const cli = process.env['ANNEAL_TEST_TEMPORAL'];
const PIPELINES: readonly PipelineDefinition[] = [
  {
    name: 'bare',
    params: { day: { type: 'string' } },
    ...{ tags: [], notify: {} },
    triggers: [{ after: 'daily', params: { day: '2026-01-01' } }],
  },
];

describe(
  'a trigger on a real server',
  { skip: cli === undefined ? 'ANNEAL_TEST_TEMPORAL is not set' : false },
  () => {
    let h: Harness;
    before(async () => {
      const folder = path.dirname(fileURLToPath(import.meta.url));
      h = await startHarness(cli ?? '', {
        workflowsPath: path.join(folder, '../backfill/backfill-pipelines.ts'),
      });
    });
    after(async () => await h.close());

    test('starts one run for each end, also when everything that was known of it is lost', async () => {
      const start = async (store: ReturnType<typeof createMemoryStore>) => {
        const triggers = createTriggerDirectory({
          ...{ client: h.client, project: PROJECT },
          readCurrent: async () => Promise.resolve({ pipelines: PIPELINES }),
          directory: createRunDirectory(h.client, PROJECT),
        });
        const deps = {
          ...{ project: PROJECT, triggers, store },
          ...{ clock: { nowMs: () => Date.now() }, log: () => undefined },
        };
        return async () => {
          await sweepTriggers(deps, AbortSignal.timeout(60_000));
        };
      };
      const store = createMemoryStore();
      const sweep = await start(store);
      await (await h.start('daily', { day: '2026-02-01' }, 'too-early')).result();
      await sweep();
      for (const id of ['one', 'two']) await (await h.start('daily', { day: '2026-02-02' }, id)).result();
      await h.start('daily', { day: 'no day' }, 'fails').then((run) => run.result().catch(() => undefined));
      const count = async () => (await h.client.workflow.count(`WorkflowType = 'bare'`)).count;
      await until('both have started a run', async () => {
        await sweep();
        return (await count()) === 2;
      });
      // The records of what was fired are gone: the server knows the ids.
      for (const key of store.objects.keys()) if (key.includes('/fired/')) store.objects.delete(key);
      await sweep();
      await sweep();
      assert.equal(await count(), 2);
      for await (const found of h.client.workflow.list({ query: `WorkflowType = 'bare'` })) {
        const run = h.client.workflow.getHandle(found.workflowId);
        assert.equal(await run.result(), '2026-01-01');
        assert.equal((found.memo?.['anneal.trigger'] as { pipeline: string }).pipeline, 'daily');
      }
    });
  },
);
