import assert from 'node:assert/strict';
import path from 'node:path';
import { after, before, beforeEach, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { WorkflowHandle, WorkflowHandleWithFirstExecutionRunId } from '@temporalio/client';
import { readActivityContext } from '../../src/activities/tracking-context.js';
import { attemptName } from '../../src/core/attempt.js';
import { createAnnealClient, type AnnealClient } from '../../src/client/index.js';
import type { RunState, RunStatus } from '../../src/core/run.js';
import { failed, PROJECT, startHarness, succeeded, type Harness } from './harness.js';
import { until } from './until.js';

const cli = process.env['ANNEAL_TEST_TEMPORAL'];

describe(
  'operators on the dev server',
  { skip: cli === undefined ? 'ANNEAL_TEST_TEMPORAL is not set' : false },
  () => {
    let h: Harness;
    let client: AnnealClient;
    before(async () => {
      const folder = path.dirname(fileURLToPath(import.meta.url));
      h = await startHarness(cli ?? '', { workflowsPath: path.join(folder, 'operations-pipelines.ts') });
      client = createAnnealClient({ temporal: h.client, project: PROJECT });
    });
    after(async () => {
      await h.close();
    });
    beforeEach(() => {
      h.attempts.length = 0;
      h.snapshot = {};
      h.directory = leads('ana');
      h.script = (request) => succeeded(request, { score: { f1: 0.9 } });
    });

    const leads = (...names: string[]): Harness['directory'] => ({
      approvers: [],
      groups: { leads: names },
    });
    const asked = () =>
      h.attempts.map(({ step, parameters }) => `${step} ${String(parameters['n'] ?? '')}`.trim());
    const approve = async (runId: string) => {
      await until(async () => {
        const { state } = await client.status(runId);
        return state === 'waiting-for-approval';
      });
      await client.decide({ runId, gate: 'go-on', decision: 'approve', by: 'ana' });
    };
    /** What the run itself says when it has ended: there is no store here. */
    const ends = async (runId: string): Promise<RunStatus> => {
      await client.wait(runId);
      return await h.client.workflow.getHandle(runId).query<RunStatus>('status');
    };
    const stateOf = async (handle: WorkflowHandle): Promise<RunState> =>
      (await handle.query<RunStatus>('status')).state;

    /** A run of which one item of the fan-out failed for good. */
    const failOne = async (id: string) => {
      h.script = (request) =>
        request.step === 'use' && request.inputs['data']?.digest === bad
          ? failed(request, 'StepRefused')
          : succeeded(request, { score: { f1: 0.9 } });
      let bad = '';
      const script = h.script;
      h.script = (request, signal) => {
        const outcome = script(request, signal);
        if (request.step === 'make' && request.parameters['n'] === 7) {
          const made = succeeded(request);
          bad = made.kind === 'succeeded' ? (made.outputs['data']?.digest ?? '') : '';
        }
        return outcome;
      };
      await h.start('nightly', {}, id);
      await approve(id);
      assert.equal((await ends(id)).state, 'failed');
    };

    test('a failed fan-out is taken up: finished work is adopted, the rest runs, approvals are asked again', async () => {
      await failOne('fan');
      const before = asked();
      h.attempts.length = 0;
      h.script = (request) => succeeded(request, { score: { f1: 0.95 } });
      const started = await client.retry('fan');
      assert.deepEqual([started.runId, started.retryOf], ['fan.r2', 'fan']);
      await approve('fan.r2');
      const report = await ends('fan.r2');
      assert.equal(report.state, 'completed');
      const finished = new Set(report.calls.filter(({ state }) => state === 'cached').map(({ id }) => id));
      assert.equal(finished.size, started.adopted - 1, 'all but the time are shown');
      assert.ok(finished.size >= 10, String(finished.size));
      assert.equal(asked().length + finished.size, 21, 'each step once in all');
      assert.ok(asked().includes('use'), 'what failed ran again');
      assert.ok(before.includes('make 0') && !asked().includes('make 0'));
      const { scores } = report.result as { scores: number[] };
      assert.equal(scores.length, 10);
      assert.deepEqual([...new Set(scores)].sort(), [0.9, 0.95]);
      assert.equal(report.retryOf?.runId, 'fan');
      const listed = (await client.list()).find(({ runId }) => runId === 'fan.r2');
      assert.equal(listed?.retryOf, 'fan');
      const cached = report.calls.find(({ name, state }) => name === 'make' && state === 'cached');
      assert.equal(cached?.cachedFrom?.runId, 'fan');
    });

    test('approvals count again where that is asked, for the same digest', async () => {
      await failOne('kept');
      h.script = (request) => succeeded(request, { score: { f1: 0.9 } });
      const { runId } = await client.retry('kept', { keepApprovals: true });
      const report = await ends(runId);
      assert.equal(report.state, 'completed');
      assert.equal(report.calls.find(({ kind }) => kind === 'approval')?.state, 'cached');
      const before = await client.audit('kept');
      const { decisions = [] } = report;
      assert.deepEqual(
        decisions.map(({ by, gate, id, keptFrom }) => [by, gate, id, keptFrom]),
        before.decisions.map(({ by, gate, id }) => [by, gate, id, report.retryOf]),
      );
    });

    test('approvals are judged anew by the gate as it is now: who may no longer decide is not counted', async () => {
      await failOne('judged');
      h.script = (request) => succeeded(request, { score: { f1: 0.9 } });
      h.directory = leads('bo');
      const { runId } = await client.retry('judged', { keepApprovals: true });
      await until(async () => (await client.status(runId)).state === 'waiting-for-approval');
      const { refusedDecisions } = await client.status(runId);
      assert.match(refusedDecisions?.[0]?.reason ?? '', /"ana" may not decide on "go-on"; these may: bo/);
      await client.decide({ runId, gate: 'go-on', decision: 'approve', by: 'bo' });
      const report = await ends(runId);
      assert.equal(report.state, 'completed');
      assert.equal(report.calls.find(({ kind }) => kind === 'approval')?.state, 'succeeded');
      const { decisions = [] } = report;
      assert.deepEqual(
        decisions.map(({ by, keptFrom }) => [by, keptFrom]),
        [['bo', undefined]],
      );
    });

    test('from a step on everything runs again, also of a run that completed', async () => {
      await h.start('chain', {}, 'whole');
      assert.equal((await ends('whole')).state, 'completed');
      await assert.rejects(
        client.retry('whole'),
        /is completed, so everything of it would be taken over.*--from STEP/,
      );
      await assert.rejects(
        client.retry('whole', { from: 'mak' }),
        /has not finished a step "mak".*Did you mean "make"\?/,
      );
      h.attempts.length = 0;
      const { runId, adopted } = await client.retry('whole', { from: 'make' });
      assert.equal((await ends(runId)).state, 'completed');
      assert.equal(adopted, 0);
      assert.equal(h.attempts.length, 4);
      assert.equal((await client.retry(runId, { from: 'make' })).runId, 'whole.r3');
    });

    test('a terminated run is taken up, over continuations of both', async () => {
      h.snapshot = { continueAfterEvents: 30 };
      h.script = async (request, signal) => {
        if (request.parameters['n'] === 12)
          await new Promise((_, reject) =>
            signal.addEventListener('abort', () => reject(signal.reason as Error)),
          );
        return succeeded(request);
      };
      await h.start('chain', { n: 20 }, 'long');
      await until(() => asked().includes('make 12'));
      await client.terminate('long', 'a test');
      h.attempts.length = 0;
      h.script = (request) => succeeded(request);
      const { runId } = await client.retry('long');
      const report = await ends(runId);
      assert.equal(report.state, 'completed');
      assert.deepEqual(asked(), [
        'make 12',
        'make 13',
        'make 14',
        'make 15',
        'make 16',
        'make 17',
        'make 18',
        'make 19',
      ]);
      assert.equal(report.retryOf?.runId, 'long');
    });

    test('a reset as the Web UI makes it keeps what was finished, and gives what was in flight a name of its own', async () => {
      const names: string[] = [];
      const going: (() => void)[] = [];
      h.script = async (request, signal) => {
        const { namespace, workflowId, epoch } = readActivityContext();
        names.push(attemptName({ namespace, workflowId, epoch, ...request }));
        if (request.parameters['n'] === 0) return succeeded(request);
        await new Promise<void>((resolve, reject) => {
          going.push(resolve);
          signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
        });
        return succeeded(request);
      };
      const handle = await h.start('chain', { n: 2 }, 'reset-in-the-middle');
      await until(() => going.length === 1);
      const { events = [] } = await handle.fetchHistory();
      const done = events?.findLast((event) => event.workflowTaskCompletedEventAttributes)?.eventId;
      await h.client.workflowService.resetWorkflowExecution({
        namespace: 'default',
        workflowExecution: { workflowId: handle.workflowId },
        ...(done === undefined || done === null ? {} : { workflowTaskFinishEventId: done }),
        requestId: 'reset-in-the-middle',
        reason: 'as the Web UI does',
      });
      await until(() => going.length === 2);
      going[1]?.();
      const report = await ends('reset-in-the-middle');
      assert.equal(report.state, 'completed');
      assert.deepEqual(asked(), ['make 0', 'make 1', 'make 1'], 'what was finished did not run again');
      assert.equal(new Set(names).size, 3, 'what is left of the first try cannot be taken for the second');
      const { firstExecutionRunId } = handle as WorkflowHandleWithFirstExecutionRunId;
      assert.equal(
        report.executionId,
        firstExecutionRunId,
        'artifacts and MLflow go on under the same execution id',
      );
    });

    test('an open run is not taken up', async () => {
      let go = () => {};
      h.script = async (request) => {
        await new Promise<void>((resolve) => (go = resolve));
        return succeeded(request);
      };
      await h.start('chain', { n: 1 }, 'open');
      await until(() => h.attempts.length === 1);
      await assert.rejects(client.retry('open'), /is running; only one that has ended can be taken up again/);
      go();
      await ends('open');
    });

    test('a paused run starts nothing new, lets finish what runs, and goes on where it was', async () => {
      const going: (() => void)[] = [];
      h.script = async (request) => {
        await new Promise<void>((resolve) => going.push(resolve));
        return succeeded(request);
      };
      const handle = await h.start('chain', { n: 3 }, 'paused');
      await until(() => going.length === 1);
      await assert.rejects(client.pause('paused', { by: '' }), /It needs "by"/);
      assert.equal(await client.pause('paused', { by: 'ana', reason: 'the disk is full' }), 'paused');
      assert.equal(await stateOf(handle), 'paused');
      assert.equal(await client.pause('paused', { by: 'bo' }), 'paused by ana before');
      await until(async () =>
        (await client.list({ state: 'paused' })).some(({ runId }) => runId === 'paused'),
      );
      going.shift()?.();
      const status = await until(async () => {
        const report = await client.status('paused');
        return report.counts.succeeded === 1 ? report : undefined;
      });
      assert.deepEqual(status.paused?.by, 'ana');
      // A round trip of the server later still nothing new has started.
      await client.setStep('paused', { step: 'other', by: 'ana', timeout: '1h' });
      assert.equal(h.attempts.length, 1);
      assert.equal(await client.resume('paused', { by: 'ana' }), 'resumed');
      h.script = (request) => succeeded(request);
      await until(() => going.length > 0 || h.attempts.length > 1);
      going.shift()?.();
      assert.equal((await ends('paused')).state, 'completed');
      await assert.rejects(
        client.pause('paused', { by: 'ana' }),
        /ended at .* there is nothing left to steer.*anneal retry paused/,
      );
    });

    test('a paused run can be cancelled', async () => {
      h.script = async (request) => {
        await new Promise((resolve) => setTimeout(resolve, 200));
        return succeeded(request);
      };
      await h.start('chain', { n: 9 }, 'stopped');
      await until(() => h.attempts.length >= 1);
      await client.pause('stopped', { by: 'ana' });
      assert.equal((await client.cancel('stopped')).state, 'cancelled');
      assert.ok(h.attempts.length < 4);
    });

    test("settings of a step's next attempts are taken at their start, and what cannot be is refused", async () => {
      const going: (() => void)[] = [];
      h.script = async (request) => {
        if (request.parameters['n'] === 0) await new Promise<void>((resolve) => going.push(resolve));
        return succeeded(request);
      };
      await h.start('chain', { n: 2 }, 'changed');
      await until(() => going.length === 1);
      const set = async (change: object) =>
        await client.setStep('changed', { step: 'make', by: 'ana', ...change });
      await assert.rejects(set({ pool: 'gpu' }), /"pool" is "gpu"; the run has cpu/);
      await assert.rejects(set({ timeout: 'soon' }), /it must be a duration/);
      assert.deepEqual(await set({ timeout: '2h' }), { timeout: '2h' });
      assert.deepEqual(await set({ memory: '4Gi' }), { timeout: '2h', memory: '4Gi' });
      going.shift()?.();
      const report = await ends('changed');
      assert.equal(report.state, 'completed');
      assert.deepEqual(report.changes, { make: { timeout: '2h', memory: '4Gi' } });
      assert.deepEqual(
        h.attempts.map(({ timeoutMs, resources }) => [timeoutMs, resources.memory]),
        [
          [undefined, undefined],
          [7_200_000, '4Gi'],
        ],
      );
    });
  },
);
