import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { WorkflowFailedError } from '@temporalio/client';
import { CACHE_MEMO, pipelinesTaskQueue, STARTED_BY_MEMO, type RunStatus } from '../../src/core/run.js';
import { failed, PROJECT, startHarness, succeeded, type Harness } from './harness.js';
import { until } from './until.js';

const cli = process.env['ANNEAL_TEST_TEMPORAL'];

async function failureOf(result: Promise<unknown>): Promise<{ type: string | undefined; message: string }> {
  try {
    await result;
  } catch (error) {
    assert.ok(error instanceof WorkflowFailedError, String(error));
    const cause = error.cause as { type?: string; message: string };
    return { type: cause.type, message: cause.message };
  }
  return assert.fail('the run did not fail');
}

describe(
  'pipelines on the dev server',
  { skip: cli === undefined ? 'ANNEAL_TEST_TEMPORAL is not set' : false },
  () => {
    let h: Harness;
    before(async () => {
      h = await startHarness(cli ?? '');
    });
    after(async () => {
      await h.close();
    });
    const reset = (snapshot: Harness['snapshot'] = {}) => {
      h.attempts.length = 0;
      h.ended.length = 0;
      h.closed.length = 0;
      h.snapshot = snapshot;
      h.script = (request) => succeeded(request, { score: { f1: 0.9 } });
    };

    test('runs steps in order, fills in defaults, renders the command without a shell, and returns the result', async () => {
      reset();
      const handle = await h.start('plain');
      assert.deepEqual(await handle.result(), { promoted: true, f1: 0.9 });
      assert.deepEqual(
        h.attempts.map((a) => a.step),
        ['make', 'use'],
      );
      assert.deepEqual(h.attempts[0]?.command, ['make', '1', ['--out=', { output: 'data', as: 'path' }]]);
      const status = await handle.query<RunStatus>('status');
      assert.equal(status.state, 'completed');
      assert.deepEqual(
        status.calls.map((c) => [c.name, c.state, c.detail]),
        [
          ['make', 'succeeded', ''],
          ['use', 'succeeded', 'f1=0.9'],
        ],
      );
    });

    test('ends as not-promoted when the pipeline says so', async () => {
      reset();
      const handle = await h.start('plain', { threshold: 0.95 });
      await handle.result();
      assert.equal((await handle.query<RunStatus>('status')).state, 'not-promoted');
      assert.deepEqual((await handle.describe()).searchAttributes['AnnealStatus'], ['not-promoted']);
    });

    test('fails at once on a bad parameter and names it with the allowed values', async () => {
      reset();
      const failure = await failureOf(
        (await h.start('plain', { threshold: 7, table: 'c', extra: 1 })).result(),
      );
      assert.equal(failure.type, 'InvalidParameter');
      assert.match(failure.message, /"threshold" of pipeline "plain" is 7; it must be a number from 0 to 1/);
      assert.match(failure.message, /one of "a", "b"/);
      assert.match(failure.message, /no parameter "extra"/);
      assert.match(h.closed.at(-1) ?? '', /:failed$/);
    });

    test('fails at once on an unknown pipeline and lists the known ones', async () => {
      const failure = await failureOf((await h.start('nope')).result());
      assert.equal(failure.type, 'UnknownPipeline');
      assert.match(failure.message, /"nope"; it has big-result, broken,/);
    });

    test('refuses a step that fits no pool and names the nearest', async () => {
      const failure = await failureOf((await h.start('unfit')).result());
      assert.equal(failure.type, 'NoPoolFits');
      assert.match(failure.message, /nearest is "cpu" \(512Gi of memory asked, 8Gi offered\)/);
    });

    test('an error in pipeline code fails the run and tells people', async () => {
      reset();
      const failure = await failureOf((await h.start('broken')).result());
      assert.deepEqual(failure, { type: 'PipelineError', message: 'RangeError: off by one' });
      assert.match(
        h.notifications.at(-1) ?? '',
        /broken failed: .* \| PipelineError: RangeError: off by one/,
      );
    });

    test('tells people again when a run that was reset fails again', async () => {
      reset();
      h.notified.length = 0;
      const handle = await h.start('broken');
      await failureOf(handle.result());
      const { events } = await handle.fetchHistory();
      const first = events?.find((event) => event.workflowTaskCompletedEventAttributes)?.eventId;
      await h.client.workflowService.resetWorkflowExecution({
        namespace: 'default',
        workflowExecution: { workflowId: handle.workflowId },
        ...(first === undefined || first === null ? {} : { workflowTaskFinishEventId: first }),
        requestId: 'again',
        reason: 'test',
      });
      await until(() => h.notified.length === 2 || undefined);
      assert.equal(new Set(h.notified).size, 2);
    });

    test('spends the user budget on user failures and the infrastructure budget on lost attempts', async () => {
      reset();
      const seen: string[] = [];
      h.script = (request) => {
        if (request.step === 'make') return succeeded(request);
        seen.push(`${request.attempt}`);
        if (seen.length === 1) return failed(request, 'AttemptLost');
        if (seen.length <= 3) return failed(request, 'StepFailed');
        return failed(request, 'StepFailed');
      };
      const handle = await h.start('caught');
      assert.equal(await handle.result(), 'StepFailed');
      assert.deepEqual(seen, ['1', '2', '3', '4']);
    });

    test('a call that was retried over continue-as-new names the attempts of each execution', async () => {
      reset({ continueAfterEvents: 4 });
      h.script = (request) =>
        request.step === 'make'
          ? succeeded(request)
          : { ...failed(request, 'StepFailed'), attemptName: `try-${h.attempts.length}` };
      const handle = await h.start('caught');
      assert.equal(await handle.result(), 'StepFailed');
      const status = await h.client.workflow.getHandle(handle.workflowId).query<RunStatus>('status');
      assert.ok(status.continuations >= 2, `continued ${status.continuations} times`);
      const call = status.calls.find(({ name }) => name === 'use');
      const names = [...(call?.earlierAttempts ?? []), call?.attemptName ?? ''];
      assert.ok(names.length >= 2, names.join(' '));
      assert.deepEqual(names, [...new Set(names)].sort());
      assert.equal(names.at(-1), `try-${h.attempts.length}`);
    });

    test('continues as new in a chain and runs no step twice', async () => {
      reset({ continueAfterEvents: 40 });
      const handle = await h.start('chain', { n: 30 });
      assert.equal(await handle.result(), 30 * 64);
      assert.equal(h.attempts.length, 30);
      assert.equal(new Set(h.attempts.map((a) => a.callId)).size, 30);
      const status = await h.client.workflow.getHandle(handle.workflowId).query<RunStatus>('status');
      assert.ok(status.continuations >= 3, `continued ${status.continuations} times`);
      assert.equal(status.counts.succeeded, 30);
    });

    test('continues as new inside fan-outs, sleeps, races and tasks with the same order of answers', async () => {
      reset({ continueAfterEvents: 30 });
      h.script = (request) =>
        request.parameters['n'] === 7 ? failed(request, 'StepRefused') : succeeded(request);
      const handle = await h.start('mixed', { n: 24 });
      const result = (await handle.result()) as {
        trace: string[];
        oks: number;
        dice: number[];
        started: number;
      };
      assert.equal(result.oks, 23);
      assert.equal(h.attempts.length, 25, 'one attempt a step');
      assert.equal(result.trace.length, 46);
      const status = await h.client.workflow.getHandle(handle.workflowId).query<RunStatus>('status');
      assert.ok(status.continuations >= 1, 'the run continued');
      assert.equal(result.started, (await first(h, handle.workflowId)).started);
    });

    test('tells calls with the same input apart', async () => {
      reset({ continueAfterEvents: 20 });
      await (await h.start('same', { n: 6 })).result();
      assert.equal(h.attempts.length, 6);
      assert.equal(new Set(h.attempts.map((a) => a.callId)).size, 6);
    });

    test('says so when a re-run takes another way', async () => {
      reset({ continueAfterEvents: 12 });
      const failure = await failureOf((await h.start('wandering')).result());
      assert.equal(failure.type, 'NotRepeatable');
      assert.match(failure.message, /did not ask for "step:make"/);
    });

    test('cancel ends the running attempt, runs the clean-up, and starts nothing else', async () => {
      reset();
      h.script = async (request, signal) => {
        if (request.parameters['n'] !== 1) return succeeded(request);
        return await new Promise<never>((_, reject) =>
          signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true }),
        );
      };
      const handle = await h.start('cleaned');
      await until(() => h.attempts.length > 0);
      await handle.cancel();
      await assert.rejects(handle.result());
      assert.equal((await handle.describe()).status.name, 'CANCELLED');
      assert.deepEqual(
        h.attempts.map((a) => a.parameters['n']),
        [1, 99],
      );
      assert.deepEqual(h.ended, ['make/1']);
      assert.equal((await handle.query<RunStatus>('status')).state, 'cancelled');
    });

    test('an approval takes only a decision for what waits, by somebody who may, once', async () => {
      reset({ continueAfterEvents: 10 });
      const handle = await h.start('gated');
      const [open] = await until(async () => {
        const { approvals } = await handle.query<RunStatus>('status');
        return approvals.length > 0 ? approvals : undefined;
      });
      const decide = async (decision: object) =>
        await handle.executeUpdate('decide', {
          args: [{ gate: 'go-live', digest: open?.digest, decision: 'approve', by: 'ana', ...decision }],
        });
      await assert.rejects(decide({ digest: 'stale' }), (error: Error) =>
        /is for digest stale/.test((error.cause as Error).message),
      );
      await assert.rejects(decide({ by: 'eve' }), (error: Error) =>
        /"eve" may not decide/.test((error.cause as Error).message),
      );
      await assert.rejects(decide({ decision: 'maybe' }), (error: Error) =>
        /"approve" or "reject"/.test((error.cause as Error).message),
      );
      assert.equal(await decide({}), 'recorded');
      assert.equal(await handle.result(), 'ana');
    });

    test('a decision that comes before its gate opens is kept', async () => {
      reset();
      const go: { now?: () => void } = {};
      h.script = async (request) => {
        await new Promise<void>((resolve) =>
          request.parameters['n'] === 1 ? (go.now = resolve) : resolve(),
        );
        return succeeded(request);
      };
      const handle = await h.start('gated');
      await until(() => h.attempts.length > 0);
      const [first] = h.attempts;
      assert.ok(first);
      const made = succeeded(first);
      const digest = made.kind === 'succeeded' ? made.outputs['data']?.digest : undefined;
      await handle.signal('decide', { gate: 'go-live', digest, decision: 'approve', by: 'bo' });
      go.now?.();
      assert.equal(await handle.result(), 'bo');
    });

    test('an approval expires, and a rejection fails the run with its reason', async () => {
      reset();
      assert.equal(
        (await failureOf((await h.start('gated', { expires: '1s' })).result())).type,
        'ApprovalExpired',
      );
    });

    test('an approval and a sleep stay open while the run continues as new around them', async () => {
      reset({ continueAfterEvents: 30 });
      const handle = await h.start('busy-gate');
      const started = Date.now();
      const status = await until(async () => {
        const found = await handle.query<RunStatus>('status');
        return found.continuations >= 2 && found.approvals.length > 0 ? found : undefined;
      });
      const [open] = status.approvals;
      const decision = { gate: 'go-live', digest: open?.digest, decision: 'approve', by: 'ana' };
      await h.client.workflow.getHandle(handle.workflowId).executeUpdate('decide', { args: [decision] });
      const { by, woke } = (await handle.result()) as { by: string; woke: number };
      assert.equal(by, 'ana');
      assert.ok(
        woke - started >= 3_500 && woke - started < 12_000,
        `slept ${woke - started} ms over continuations`,
      );
      assert.equal(h.attempts.length, 21);
    });

    test('a cancel at any moment of a run that continues as new ends it and what runs', async () => {
      reset({ continueAfterEvents: 16 });
      h.script = async (request, signal) =>
        await new Promise((resolve, reject) => {
          const timer = setTimeout(() => resolve(succeeded(request)), 20);
          signal.addEventListener('abort', () => (clearTimeout(timer), reject(signal.reason as Error)), {
            once: true,
          });
        });
      for (const after of [1, 2, 3, 5, 8]) {
        h.attempts.length = 0;
        const handle = await h.start('chain', { n: 50 });
        await until(() => h.attempts.length >= after || undefined);
        await h.client.workflow.getHandle(handle.workflowId).cancel();
        await assert.rejects(handle.result());
        const described = await h.client.workflow.getHandle(handle.workflowId).describe();
        assert.equal(described.status.name, 'CANCELLED', `cancelled after ${after} attempts`);
        assert.deepEqual(described.searchAttributes['AnnealStatus'], ['cancelled']);
      }
    });

    test('a call that fails before it is awaited fails where it is awaited', async () => {
      reset();
      h.script = (request) => (request.step === 'use' ? failed(request, 'StepRefused') : succeeded(request));
      assert.equal(await (await h.start('late-await')).result(), 'StepRefused');
    });

    test('a run that fails ends what its other branches run before it ends', async () => {
      reset();
      h.script = async (request, signal) => {
        if (request.parameters['n'] === 1) return failed(request, 'StepRefused');
        return await new Promise<never>((_, reject) =>
          signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true }),
        );
      };
      const handle = await h.start('siblings');
      assert.equal((await failureOf(handle.result())).type, 'StepRefused');
      assert.deepEqual(h.ended, ['make/1']);
      const { calls } = await handle.query<RunStatus>('status');
      assert.deepEqual(calls.map(({ state }) => state).sort(), ['cancelled', 'failed']);
    });

    test('gates of one name wait each for a decision on its own subject', async () => {
      reset();
      const handle = await h.start('two-at-once');
      const open = await until(async () => {
        const { approvals } = await handle.query<RunStatus>('status');
        return approvals.length === 2 ? approvals : undefined;
      });
      for (const [i, { digest }] of open.entries()) {
        const decision = { gate: 'release', digest, decision: 'approve', by: `person ${i}` };
        assert.equal(await handle.executeUpdate('decide', { args: [decision] }), 'recorded');
      }
      assert.deepEqual(await handle.result(), ['person 0', 'person 1']);
    });

    test('a result that JSON cannot carry fails the run and says so', async () => {
      reset();
      const failure = await failureOf((await h.start('big-result')).result());
      assert.equal(failure.type, 'PipelineError');
      assert.match(failure.message, /\$\.n is a bigint/);
    });

    test('takes more calls at once than Temporal has room for, some at a time', async () => {
      reset();
      let running = 0;
      let most = 0;
      h.script = async (request) => {
        most = Math.max(most, ++running);
        await new Promise((resolve) => setImmediate(resolve));
        running--;
        return succeeded(request);
      };
      assert.equal(await (await h.start('wide', { n: 1200 })).result(), 1200);
      assert.equal(h.attempts.length, 1200);
      assert.ok(most <= 500, `${most} at once`);
    });

    test('budgets and delay of a step outlive two continuations', async () => {
      reset({ continueAfterEvents: 30 });
      const seen: { readonly attempt: number; readonly at: number }[] = [];
      h.script = (request) => {
        if (request.step !== 'use') return succeeded(request);
        seen.push({ attempt: request.attempt, at: Date.now() });
        return seen.length === 1 ? failed(request, 'StepFailed') : succeeded(request, { score: { f1: 0.5 } });
      };
      const handle = await h.start('retried-around');
      assert.equal(await handle.result(), 0.5);
      const status = await h.client.workflow.getHandle(handle.workflowId).query<RunStatus>('status');
      assert.ok(status.continuations >= 2, `continued ${status.continuations} times`);
      assert.deepEqual(
        seen.map(({ attempt }) => attempt),
        [1, 2],
      );
      const [first, second] = seen;
      assert.ok(first && second && second.at - first.at >= 5_500, 'the delay was kept');
    });

    test('registers and promotes through the lane, in order, and closes it', async () => {
      reset();
      h.laneOperations.length = 0;
      const handle = await h.start('registers');
      assert.deepEqual(await handle.result(), { before: '1', version: 7 });
      assert.deepEqual(h.laneOperations, ['register', 'promote']);
      await until(
        async () =>
          (await h.client.workflow.getHandle('model/churn').describe()).status.name === 'COMPLETED' ||
          undefined,
      );
    });

    test('lets in as many runs of a pipeline as it says, in order, also after one is cancelled', async () => {
      reset();
      const release: (() => void)[] = [];
      h.script = async (request, signal) =>
        await new Promise((resolve, reject) => {
          release.push(() => resolve(succeeded(request)));
          signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
        });
      const runs = [await h.start('one-at-a-time')];
      await until(() => release.length === 1 || undefined);
      for (let i = 0; i < 3; i++) {
        const run = await h.start('one-at-a-time');
        await until(async () => (await run.query<RunStatus>('status')).state === 'queued' || undefined);
        runs.push(run);
      }
      assert.equal(h.attempts.length, 1);
      await runs[1]?.cancel();
      await assert.rejects(runs[1]?.result() ?? Promise.resolve());
      release[0]?.();
      await runs[0]?.result();
      await until(() => release.length === 2 || undefined);
      await runs[2]?.cancel();
      await until(() => release.length === 3 || undefined);
      release[2]?.();
      await runs[3]?.result();
      assert.equal(h.attempts.length, 3);
      await until(
        async () =>
          (await h.client.workflow.getHandle('admission/test/one-at-a-time').describe()).status.name ===
            'COMPLETED' || undefined,
      );
    });

    test('gives the place of a run that was terminated to the next', async () => {
      reset();
      const release: (() => void)[] = [];
      h.script = async (request) => {
        await new Promise<void>((resolve) => release.push(resolve));
        return succeeded(request);
      };
      const first = await h.start('one-at-a-time');
      await until(() => release.length === 1 || undefined);
      const second = await h.start('one-at-a-time');
      await until(async () => (await second.query<RunStatus>('status')).state === 'queued' || undefined);
      await first.terminate();
      // The admission looks every half minute whether the runs that it let in are still there.
      await until(() => release.length === 2 || undefined, 60_000);
      // That of the terminated run, too: its worker waits for it when it stops.
      for (const go of release) go();
      await second.result();
    });

    test('runs sub-pipelines as runs of their own', async () => {
      reset();
      assert.deepEqual(await (await h.start('parent')).result(), [true, true]);
      assert.equal(h.attempts.length, 4);
    });

    test('tells sub-pipelines who started the run and what it was told of the cache', async () => {
      reset({ cache: { off: true } });
      const parent = await h.client.workflow.start('parent', {
        taskQueue: pipelinesTaskQueue(PROJECT),
        workflowId: `told-${process.pid}`,
        args: [{}],
        memo: { [STARTED_BY_MEMO]: 'ana' },
      });
      await parent.result();
      const events = (await parent.fetchHistory()).events ?? [];
      const memos = events.flatMap(
        (event) => event.startChildWorkflowExecutionInitiatedEventAttributes?.memo?.fields ?? [],
      );
      assert.ok(memos.length > 0);
      for (const memo of memos)
        assert.deepEqual(Object.keys(memo).toSorted(), [CACHE_MEMO, STARTED_BY_MEMO].toSorted());
    });

    test('a sequential step costs 6 events', async () => {
      reset();
      const events = async (n: number) => {
        const handle = await h.start('chain', { n });
        await handle.result();
        return (await handle.fetchHistory()).events?.length ?? 0;
      };
      assert.equal(((await events(20)) - (await events(10))) / 10, 6);
    });
  },
);

async function first(h: Harness, workflowId: string): Promise<{ started: number }> {
  const result = (await h.client.workflow.getHandle(workflowId).result()) as { started: number };
  return result;
}
