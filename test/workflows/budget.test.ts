import assert from 'node:assert/strict';
import path from 'node:path';
import { after, before, beforeEach, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { WorkflowHandle } from '@temporalio/client';
import { Context } from '@temporalio/activity';
import { createAnnealClient } from '../../src/client/index.js';
import { ATTEMPT_BEGAN, BUDGET_MEMO, SET_BUDGET, type AttemptBegan } from '../../src/core/budget.js';
import { COST_MEMO, type RunCost } from '../../src/core/cost.js';
import type { AttemptOutcome, AttemptRequest } from '../../src/core/attempt.js';
import { pipelinesTaskQueue, type RunStatus } from '../../src/core/run.js';
import { failed, POOL_QUEUE, PROJECT, startHarness, succeeded, type Harness } from './harness.js';
import { until } from './until.js';

const cli = process.env['ANNEAL_TEST_TEMPORAL'];

describe(
  'a budget on the dev server',
  { skip: cli === undefined ? 'ANNEAL_TEST_TEMPORAL is not set' : false },
  () => {
    let h: Harness;
    before(async () => {
      const folder = path.dirname(fileURLToPath(import.meta.url));
      h = await startHarness(cli ?? '', { workflowsPath: path.join(folder, 'budget-pipelines.ts') });
    });
    after(async () => {
      await h.close();
    });
    beforeEach(() => {
      h.attempts.length = 0;
      h.notifications.length = 0;
      h.ended.length = 0;
    });

    /** Prices are for an hour; `perSecond` makes a test as short as it can be. */
    const priced = (perSecond?: number) => [
      {
        ...{ name: 'gpu', executor: 'kubernetes' as const, taskQueue: POOL_QUEUE, controlQueue: POOL_QUEUE },
        ...{
          cpu: 4,
          memory: '8Gi',
          gpu: 0,
          gpuOptional: true,
          ...(perSecond !== undefined && { pricePerHour: perSecond * 3_600 }),
        },
      },
    ];
    const took = (outcome: AttemptOutcome, ms: number): AttemptOutcome => ({
      ...outcome,
      startedAtMs: 1_000,
      endedAtMs: 1_000 + ms,
    });
    const hang = async (_request: AttemptRequest, signal: AbortSignal) =>
      await new Promise<never>((_resolve, reject) => {
        signal.addEventListener('abort', () => reject(signal.reason as Error));
      });
    const statusOf = async (id: string) => await h.client.workflow.getHandle(id).query<RunStatus>('status');
    const attempt = async (n: number) => {
      await until(() => Promise.resolve(h.attempts.length >= n));
      return h.attempts[n - 1] as AttemptRequest;
    };
    const began = async (handle: WorkflowHandle, { callId, attempt }: AttemptRequest) =>
      await handle.signal<[AttemptBegan]>(ATTEMPT_BEGAN, { callId, attempt, startedAtMs: Date.now() });
    const startWith = async (pipeline: string, id: string, budget: number, parameters = {}) =>
      await h.client.workflow.start(pipeline, {
        ...{ workflowId: id, taskQueue: pipelinesTaskQueue(PROJECT), args: [parameters] },
        memo: { [BUDGET_MEMO]: budget },
      });
    const failureOf = async (handle: WorkflowHandle) => {
      await assert.rejects(handle.result());
      return (await statusOf(handle.workflowId)).failure;
    };
    const eventsOf = async (id: string) => {
      const { events = [] } = await h.client.workflow.getHandle(id).fetchHistory();
      return (events ?? []).map(({ eventType }) => Number(eventType));
    };
    const TIMER_STARTED = 17;

    test('warns at 80 %, and stops what runs when it is spent, while the step runs', async () => {
      h.snapshot = { pools: priced(4) };
      h.script = hang;
      const handle = await h.start('chain', { n: 1 }, 'spent');
      const request = await attempt(1);
      assert.equal(request.tellsBegan, true);
      await began(handle, request);
      const failure = await failureOf(handle);
      assert.equal(failure?.code, 'BudgetExceeded');
      assert.match(failure?.message ?? '', /npx anneal retry spent --budget 20\.00/);
      const { cost = 0, calls, budget } = await statusOf('spent');
      assert.ok(cost >= 10 && cost < 30, String(cost));
      assert.equal(calls[0]?.state, 'cancelled');
      assert.deepEqual([budget?.limit, budget?.spent, budget?.perHour], [10, cost, 0]);
      assert.deepEqual(h.ended, ['make/1']);
      const [warned = '', ended = ''] = h.notifications;
      assert.match(
        warned,
        /nearly spent its budget: spent \| The run has cost (8|9)\.\d\d of its budget of 10\.00/,
      );
      assert.match(ended, /failed: spent/);
    });

    test('is not touched by an attempt that waits for a place', async () => {
      h.snapshot = { pools: priced(1_000) };
      let free = () => {};
      const wait = new Promise<void>((resolve) => (free = resolve));
      h.script = async (request) => {
        await wait;
        return took(succeeded(request), 1);
      };
      const handle = await h.start('chain', { n: 1 }, 'waits');
      await attempt(1);
      const asked = Date.now();
      await until(() => Promise.resolve(Date.now() - asked > 1_500));
      const { budget } = await statusOf('waits');
      assert.deepEqual([budget?.spent, budget?.perHour], [0, 0]);
      free();
      await handle.result();
      assert.equal((await statusOf('waits')).cost, 1);
      assert.ok(!(await eventsOf('waits')).includes(TIMER_STARTED));
    });

    test('counts attempts that failed, and starts none when it is spent', async () => {
      h.snapshot = { pools: priced(1) };
      h.script = (request) => took(failed(request, 'AttemptLost'), 6_000);
      const handle = await h.start('chain', { n: 5 }, 'retried');
      assert.equal((await failureOf(handle))?.code, 'BudgetExceeded');
      assert.equal(h.attempts.length, 2);
      assert.equal((await statusOf('retried')).cost, 12);
    });

    test('stops a run whose code goes on after every failure', async () => {
      h.snapshot = { pools: priced(1) };
      h.script = (request) => took(succeeded(request), 6_000);
      const handle = await h.start('stubborn', { n: 5 }, 'stubborn');
      assert.equal((await failureOf(handle))?.code, 'BudgetExceeded');
      assert.equal(h.attempts.length, 2);
    });

    test('lets a run come to its end that starts nothing more', async () => {
      h.snapshot = { pools: priced(1) };
      h.script = (request) => took(succeeded(request), 20_000);
      const handle = await h.start('judged', {}, 'judged');
      const { approvals } = await until(async () => {
        const status = await statusOf('judged');
        return status.approvals.length > 0 ? status : undefined;
      });
      await handle.executeUpdate('decide', {
        args: [{ gate: 'go', digest: approvals[0]?.digest, decision: 'approve', by: 'ana' }],
      });
      await handle.result();
      assert.deepEqual(h.notifications.length, 1);
    });

    test('counts what runs side by side', async () => {
      h.snapshot = { pools: priced(2) };
      h.script = hang;
      const handle = await startWith('wide', 'wide', 12, { n: 3 });
      await attempt(3);
      for (const request of h.attempts) await began(handle, request);
      await until(async () => ((await statusOf('wide')).budget?.perHour === 6 * 3_600 ? true : undefined));
      assert.equal((await failureOf(handle))?.code, 'BudgetExceeded');
      const { calls } = await statusOf('wide');
      assert.deepEqual(
        calls.map(({ state }) => state),
        ['cancelled', 'cancelled', 'cancelled'],
      );
    });

    test('is raised while the run runs, and warns anew; one that is spent already is refused', async () => {
      h.snapshot = { pools: priced(4) };
      h.script = hang;
      const handle = await startWith('chain', 'raised', 12, { n: 1 });
      await began(handle, await attempt(1));
      await until(() => Promise.resolve(h.notifications.length === 1));
      const set = async (budget: unknown) =>
        await handle.executeUpdate(SET_BUDGET, { args: [{ budget, by: 'ana' }] });
      await assert.rejects(set(5), (error: Error) => /already/.test(String(error.cause)));
      await assert.rejects(set('much'), (error: Error) => /number above 0/.test(String(error.cause)));
      await set(30);
      await until(() => Promise.resolve(h.notifications.length === 2));
      assert.deepEqual(
        h.notifications.map((text) => /of its budget of (\d+)/.exec(text)?.[1]),
        ['12', '30'],
      );
      await handle.cancel();
      await assert.rejects(handle.result());
      assert.equal((await statusOf('raised')).state, 'cancelled');
    });

    test('that a run gets on its way counts what runs from when it ran, and what waits from then on', async () => {
      h.snapshot = { pools: priced(1) };
      const sinceMs = Date.now() - 1_000;
      h.script = async (request, signal) => {
        const phase = h.attempts.length === 1 ? 'running' : 'queued';
        const beat = { attempt: `make-a${request.attempt}`, callId: request.callId, phase };
        const timer = setInterval(
          () => Context.current().heartbeat({ ...beat, sinceMs: phase === 'running' ? Date.now() : sinceMs }),
          100,
        );
        return await hang(request, signal).finally(() => clearInterval(timer));
      };
      const client = createAnnealClient({ temporal: h.client, project: PROJECT });
      const handle = await h.client.workflow.start('wide', {
        ...{ workflowId: 'given', taskQueue: pipelinesTaskQueue(PROJECT), args: [{ n: 2 }] },
      });
      await attempt(2);
      const asked = Date.now();
      await until(() => Promise.resolve(Date.now() - asked > 3_000));
      const status = await client.setBudget('given', { budget: 1_000, by: 'ana' });
      assert.equal(status.perHour, 2 * 3_600);
      assert.ok(status.spent < 2, String(status.spent));
      await handle.cancel();
      await assert.rejects(handle.result());
    });

    test('goes on over executions that continue as new, and while the run is paused', async () => {
      h.snapshot = { pools: priced(1), continueAfterEvents: 30 };
      h.script = (request) => took(succeeded(request), 1_000);
      const handle = await startWith('chain', 'continued', 10.5, { n: 20 });
      assert.equal((await failureOf(handle))?.code, 'BudgetExceeded');
      const { continuations, cost } = await statusOf('continued');
      assert.ok(continuations > 0);
      assert.equal(cost, 11);
      assert.equal(h.notifications.filter((text) => text.includes('nearly')).length, 1);
      const memo = (await handle.describe()).memo?.[COST_MEMO] as RunCost;
      assert.deepEqual(memo, { total: 11, pools: { gpu: 11 } });
    });

    test('is not needed to know what a run cost whose last executions cost nothing', async () => {
      h.snapshot = { pools: priced(1), continueAfterEvents: 30 };
      h.script = (request) => took(succeeded(request), h.attempts.length === 1 ? 2_000 : 0);
      const handle = await h.start('chain', { n: 20 }, 'cheap-end');
      await handle.result();
      assert.ok((await statusOf('cheap-end')).continuations > 0);
      const memo = (await handle.describe()).memo?.[COST_MEMO] as RunCost;
      assert.deepEqual(memo, { total: 2, pools: { gpu: 2 } });
    });

    test('ends a paused run whose step runs on', async () => {
      h.snapshot = { pools: priced(10) };
      h.script = hang;
      const handle = await h.start('chain', { n: 2 }, 'paused');
      await began(handle, await attempt(1));
      await handle.executeUpdate('pause', { args: [{ by: 'ana' }] });
      assert.equal((await failureOf(handle))?.code, 'BudgetExceeded');
    });

    test('of a sub-pipeline is at most what its parent has left', async () => {
      h.snapshot = { pools: priced(1) };
      h.script = (request) => took(succeeded(request), 7_000);
      const handle = await h.start('parent', {}, 'parent');
      await handle.result();
      const child = (await statusOf('parent')).calls.find(({ kind }) => kind === 'pipeline');
      assert.equal((await statusOf(child?.detail ?? '')).budget?.limit, 3);
    });

    test('costs a run without one nothing, and one with it no event for what ends soon', async () => {
      const run = async (pool: ReturnType<typeof priced>, id: string) => {
        h.snapshot = { pools: pool };
        h.script = (request) => took(succeeded(request), 1);
        await (await h.start('chain', { n: 3 }, id)).result();
        return (await eventsOf(id)).length;
      };
      const free = await run(priced(), 'events-free');
      // What it cost is written into the run's memo at its end.
      assert.equal(await run(priced(0.01), 'events-priced'), free + 1);
    });
  },
);
