import assert from 'node:assert/strict';
import path from 'node:path';
import { after, before, beforeEach, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { AttemptOutcome } from '../../src/core/attempt.js';
import type { RunStatus } from '../../src/core/run.js';
import { failed, POOL_QUEUE, startHarness, succeeded, type Harness } from './harness.js';
import { until } from './until.js';

const cli = process.env['ANNEAL_TEST_TEMPORAL'];
const HOUR_MS = 3_600_000;

describe(
  'cost on the dev server',
  { skip: cli === undefined ? 'ANNEAL_TEST_TEMPORAL is not set' : false },
  () => {
    let h: Harness;
    before(async () => {
      const folder = path.dirname(fileURLToPath(import.meta.url));
      h = await startHarness(cli ?? '', { workflowsPath: path.join(folder, 'pipelines.ts') });
    });
    after(async () => {
      await h.close();
    });
    beforeEach(() => {
      h.attempts.length = 0;
      h.snapshot = {};
    });

    const priced = (pricePerHour: number) => [
      {
        ...{ name: 'cpu', executor: 'kubernetes' as const, taskQueue: POOL_QUEUE, controlQueue: POOL_QUEUE },
        ...{ cpu: 4, memory: '8Gi', gpu: 0, gpuOptional: true, pricePerHour },
      },
    ];
    const took = (outcome: AttemptOutcome, ms: number): AttemptOutcome => ({
      ...outcome,
      startedAtMs: 1_000,
      endedAtMs: 1_000 + ms,
    });
    const statusOf = async (id: string) => await h.client.workflow.getHandle(id).query<RunStatus>('status');

    test('is counted of each attempt, also of those that failed, over executions that continue as new', async () => {
      h.snapshot = { pools: priced(2.5), continueAfterEvents: 30 };
      let lost = 0;
      h.script = (request) =>
        request.attempt === 1 && h.attempts.length === 4 && lost++ === 0
          ? took(failed(request, 'AttemptLost'), HOUR_MS / 2)
          : took(succeeded(request), HOUR_MS);
      const handle = await h.start('chain', { n: 10 }, 'priced');
      await handle.result();
      const { cost, calls, continuations } = await statusOf('priced');
      assert.equal(lost, 1);
      assert.ok(continuations > 0);
      assert.equal(cost, 26.25);
      assert.deepEqual(
        calls.map((call) => call.cost).toSorted((a, b) => (a ?? 0) - (b ?? 0)),
        [...Array<number>(9).fill(2.5), 3.75],
      );
    });

    test('is none where the pool has no price', async () => {
      h.script = (request) => took(succeeded(request), HOUR_MS);
      const handle = await h.start('chain', { n: 1 }, 'free');
      await handle.result();
      const status = await statusOf('free');
      assert.deepEqual([status.cost, status.calls[0]?.cost], [undefined, undefined]);
    });

    test('counts an attempt that is cancelled, from when it was asked for', async () => {
      h.snapshot = { pools: priced(3_600_000) };
      h.script = async (_request, signal) =>
        await new Promise<never>((_resolve, reject) => {
          signal.addEventListener('abort', () => reject(signal.reason as Error));
        });
      const handle = await h.start('chain', { n: 1 }, 'stopped');
      await until(() => Promise.resolve(h.attempts.length === 1));
      await handle.cancel();
      await assert.rejects(handle.result());
      const { cost = 0, calls } = await statusOf('stopped');
      assert.ok(cost > 0);
      assert.equal(calls[0]?.cost, cost);
    });
  },
);
