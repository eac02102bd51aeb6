import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { WorkflowHandle } from '@temporalio/client';
import { Worker } from '@temporalio/worker';
import { createStepCache } from '../../src/activities/step-cache.js';
import type { RunSnapshot } from '../../src/core/activities.js';
import type { AttemptOutcome, AttemptRequest } from '../../src/core/attempt.js';
import { STATUS_QUERY, type CallStatus, type RunStatus } from '../../src/core/run.js';
import { createExecutions } from '../../src/workers/executions.js';
import { createMemoryStore } from '../activities/memory-store.js';
import { failed, PROJECT, startHarness, succeeded, type Harness } from './harness.js';

const workflowsPath = fileURLToPath(new URL('./cached-pipelines.ts', import.meta.url));
const temporalCli = process.env['ANNEAL_TEST_TEMPORAL'];

describe(
  'the cache of steps on a real server',
  { skip: temporalCli === undefined ? 'ANNEAL_TEST_TEMPORAL is not set' : false, timeout: 120_000 },
  () => {
    let h: Harness;
    let store: ReturnType<typeof createMemoryStore>;
    let runs = 0;
    /** Look-ups in flight now, and the most there were. */
    const atOnce = { now: 0, most: 0 };

    before(async () => {
      h = await startHarness(temporalCli ?? '', { workflowsPath });
    });
    after(async () => {
      await h.close();
    });
    beforeEach(() => {
      store = createMemoryStore();
      h.attempts.length = 0;
      h.script = (request) => made(request);
      const cache = createStepCache({
        store,
        clock: { nowMs: () => Date.now() },
        isLive: createExecutions(h.client).isHolderLive,
      });
      atOnce.most = 0;
      h.cache = {
        ...cache,
        ask: async (...of) => {
          atOnce.most = Math.max(atOnce.most, ++atOnce.now);
          await new Promise((resolve) => setImmediate(resolve));
          return await cache.ask(...of).finally(() => atOnce.now--);
        },
      };
    });

    /** What an attempt makes is in the store, as a hit is looked for there. */
    function made(request: AttemptRequest): AttemptOutcome {
      const outcome = succeeded(request);
      if (outcome.kind !== 'succeeded') return outcome;
      const outputs = Object.fromEntries(
        Object.entries(outcome.outputs).map(([name, ref]) => {
          const key = `runs/${request.executionId}/attempts/${outcome.attemptName}/outputs/${name}`;
          store.objects.set(key, Buffer.from('x'));
          return [
            name,
            {
              ...ref,
              uri: store.uriOf(key),
              digest: `${request.step}${request.command.join()}`.padEnd(64, '0'),
            },
          ];
        }),
      );
      return { ...outcome, outputs, startedAtMs: Date.now() };
    }

    const runId = (pipeline: string) => `${pipeline}-${process.pid}-${runs++}`;
    const start = async (pipeline: string, parameters: object = { seed: 's' }) =>
      await h.start(pipeline, parameters, runId(pipeline));
    const ran = (step: string) => h.attempts.filter((attempt) => attempt.step === step);
    const calls = async (handle: WorkflowHandle): Promise<readonly CallStatus[]> =>
      (await handle.query<RunStatus>(STATUS_QUERY)).calls;
    const callOf = async (handle: WorkflowHandle, name: string) =>
      (await calls(handle)).find((call) => call.name === name);
    const until = async (what: string, condition: () => Promise<boolean> | boolean) => {
      const deadline = Date.now() + 20_000;
      while (!(await condition())) {
        assert.ok(Date.now() < deadline, `not in time: ${what}`);
        await wait(20);
      }
    };

    /** Attempts of a step wait until they are let go. */
    function holdBack(step: string) {
      let release = (_outcome: 'go') => undefined as void;
      const gate = new Promise<'go'>((resolve) => {
        release = resolve;
      });
      h.script = async (request, signal) => {
        if (request.step === step)
          await Promise.race([
            gate,
            new Promise((_resolve, reject) =>
              signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true }),
            ),
          ]);
        return made(request);
      };
      return () => release('go');
    }

    async function startTwo() {
      const release = holdBack('shared');
      const first = await start('once');
      await until('the first works', () => ran('shared').length === 1);
      const second = await start('once');
      await until('the second waits', async () => (await callOf(second, 'shared'))?.state === 'waiting');
      return { first, second, release };
    }

    test('two runs at once make one result; the one that waits says for whom', async () => {
      const { first, second, release } = await startTwo();
      assert.equal((await callOf(second, 'shared'))?.detail, `waiting for run ${first.workflowId}`);
      release();
      assert.equal(await second.result(), await first.result());
      assert.equal(ran('shared').length, 1);
      const hit = await callOf(second, 'shared');
      assert.equal(hit?.state, 'cached');
      assert.equal(hit?.cachedFrom?.runId, first.workflowId);
    });

    for (const end of ['cancel', 'terminate'] as const)
      test(`when the run that makes a result is ended by ${end}, the one that waits takes over`, async () => {
        const { first, second, release } = await startTwo();
        await first[end]();
        await until('the second works', () => ran('shared').length === 2);
        release();
        await second.result();
        assert.equal((await callOf(second, 'shared'))?.state, 'succeeded');
        assert.equal((await callOf(second, 'shared'))?.cache?.generation, 2);
      });

    test('a wait is ended by a cancel, and leaves the one that works alone', async () => {
      const { first, second, release } = await startTwo();
      await second.cancel();
      await assert.rejects(second.result());
      assert.equal((await callOf(second, 'shared'))?.state, 'cancelled');
      release();
      await first.result();
      assert.equal(ran('shared').length, 1);
    });

    test('of several that wait for a failed attempt, one at a time works', async () => {
      let working = 0;
      let most = 0;
      h.script = async (request) => {
        if (request.step !== 'shared') return made(request);
        most = Math.max(most, ++working);
        await wait(150);
        working--;
        return ran('shared').length < 3 ? failed(request, 'StepFailed') : made(request);
      };
      const handles = await Promise.all(Array.from({ length: 4 }, () => start('once')));
      await Promise.allSettled(handles.map(async (handle) => await handle.result()));
      assert.equal(most, 1);
      const states = await Promise.all(
        handles.map(async (handle) => (await callOf(handle, 'shared'))?.state ?? ''),
      );
      assert.equal(states.filter((state) => state === 'succeeded').length, 1, states.join());
      assert.equal(ran('shared').length, 3);
    });

    test('the same call twice in one run makes one result', async () => {
      const handle = await start('twice');
      const [a, b] = (await handle.result()) as string[];
      assert.equal(a, b);
      assert.equal(ran('shared').length, 1);
    });

    test('after maxWait a run makes the result itself', async () => {
      const release = holdBack('impatient');
      const first = await start('hurried');
      await until('the first works', () => ran('impatient').length === 1);
      const second = await start('hurried');
      await until('the second works, too', () => ran('impatient').length === 2);
      release();
      await Promise.all([first.result(), second.result()]);
    });

    test('a run can be told to make a step again, or to leave the cache alone, in its parameters', async () => {
      await (await start('once')).result();
      const refreshed = await start('once', { seed: 's', $cache: { refresh: ['shared'] } });
      await refreshed.result();
      assert.equal((await callOf(refreshed, 'shared'))?.state, 'succeeded');
      const later = await start('once');
      await later.result();
      assert.equal((await callOf(later, 'shared'))?.cachedFrom?.runId, refreshed.workflowId);
      const without = await start('once', { seed: 's', $cache: false });
      await without.result();
      assert.equal((await callOf(without, 'shared'))?.cache?.off, 'the run was started without the cache');
      const wrong = await start('once', { seed: 's', $cache: { refresh: 'shared' } });
      await assert.rejects(wrong.result(), /WorkflowFailedError|Workflow execution failed/);
    });

    test('a step without artifacts as input is cached only with a version, and that is said once', async () => {
      for (const _ of [1, 2]) await (await start('roots', {})).result();
      assert.equal(ran('rootless').length, 4);
      assert.equal(ran('versioned').length, 1);
      const handle = await start('roots', {});
      await handle.result();
      const said = (await calls(handle)).filter((call) => call.cache?.off !== undefined);
      assert.deepEqual(
        said.map((call) => call.cache?.off),
        ['it has no artifact as input; say cache: { version } to reuse its results'],
      );
    });

    test('in images the digest decides, not the tag, and is what runs; one that is not known is said once and not cached', async () => {
      const before = h.snapshot;
      const digest = (of: string) => ({ digest: `sha256:${of.repeat(64)}` });
      const run = async (
        images: RunSnapshot['images'],
        executor: 'kubernetes' | 'process' = 'kubernetes',
      ) => {
        const pool = {
          name: 'cpu',
          executor,
          taskQueue: `${PROJECT}/cpu@here`,
          controlQueue: `${PROJECT}/cpu@here`,
        };
        const cluster = images && { images, poolImages: { cpu: 'bare:1' } };
        h.snapshot = { ...before, pools: [{ ...pool, gpu: 0, gpuOptional: true }], ...cluster };
        h.attempts.length = 0;
        const handle = await start('images');
        await handle.result();
        return handle;
      };
      const stepsThatRan = () => h.attempts.map(({ step }) => step).filter((step) => step !== 'source');
      try {
        await run({ 'r.io/imaged:1': digest('a'), 'bare:1': digest('b') });
        assert.deepEqual(
          h.attempts.map(({ image }) => image),
          [
            `bare@${digest('b').digest}`,
            `r.io/imaged@${digest('a').digest}`,
            `r.io/imaged@${digest('a').digest}`,
            `bare@${digest('b').digest}`,
          ],
        );
        await run({ 'r.io/imaged:1': digest('a'), 'bare:1': digest('b') });
        assert.deepEqual(stepsThatRan(), []);
        await run({ 'r.io/imaged:1': digest('c'), 'bare:1': digest('b') });
        assert.deepEqual(stepsThatRan(), ['imaged', 'imaged']);
        await run({ 'r.io/imaged:1': digest('c'), 'bare:1': digest('d') });
        assert.deepEqual(stepsThatRan(), ['bare']);
        for (const _ of [1, 2]) {
          const unknown = await run({ 'r.io/imaged:1': { problem: 'r.io is away' }, 'bare:1': digest('d') });
          assert.deepEqual(stepsThatRan(), ['imaged', 'imaged']);
          assert.equal(h.attempts.find(({ step }) => step === 'imaged')?.image, 'r.io/imaged:1');
          const said = (await calls(unknown)).flatMap(({ cache }) => cache?.off ?? []);
          assert.deepEqual(said, [
            'the digest of its image "r.io/imaged:1" is not known, r.io is away; say cache: { version } to reuse its results',
          ]);
        }
        // Processes run in no image: what the step says is part of its definition, as before.
        await run(undefined, 'process');
        assert.deepEqual(stepsThatRan(), ['imaged', 'imaged', 'bare']);
        await run(undefined, 'process');
        assert.deepEqual(stepsThatRan(), []);
      } finally {
        h.snapshot = before;
      }
    });

    test('replays look-ups that ended one by one, in branches of any depth', async () => {
      const { ask } = h.cache ?? assert.fail();
      h.cache = {
        ...(h.cache ?? assert.fail()),
        ask: async (...of) => {
          await wait(Math.random() * 200);
          return await ask(...of);
        },
      };
      for (const kind of ['made', 'hit']) {
        const handle = await start('branches', { seed: 's', items: 20 });
        assert.equal(await handle.result(), 20);
        assert.equal(ran('shared').length, 80, kind);
        await Worker.runReplayHistory({ workflowsPath }, await handle.fetchHistory(), handle.workflowId);
      }
    });

    test('takes 1,000 cacheable calls at once, some at a time: all made, then all hit', async (t) => {
      for (const [kind, made] of [
        ['made', 1_000],
        ['hit', 0],
      ] as const) {
        h.attempts.length = 0;
        const began = Date.now();
        const handle = await start('wide', { seed: 's', items: 1_000 });
        assert.equal(await handle.result(), 1_000);
        assert.equal(ran('shared').length, made, kind);
        t.diagnostic(`${kind}: ${Date.now() - began} ms, ${atOnce.most} look-ups at once`);
        assert.ok(atOnce.most <= 100, `${atOnce.most} look-ups at once`);
      }
    });

    test('100 steps that all hit take 150 events at most', async (t) => {
      const parameters = { seed: 'long', steps: 100 };
      await (await start('chain', parameters)).result();
      const before = h.attempts.length;
      const handle = await start('chain', parameters);
      const startedAt = performance.now();
      await handle.result();
      t.diagnostic(`${(performance.now() - startedAt).toFixed(0)} ms`);
      assert.equal(h.attempts.length - before, 1);
      const { historyLength } = await handle.describe();
      t.diagnostic(`${historyLength} events`);
      assert.ok(historyLength <= 150, `${historyLength} events`);
    });
  },
);
