import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { WorkflowHandle } from '@temporalio/client';
import { createAnnealClient, type RunAudit } from '../../src/client/index.js';
import type { PendingApproval, RunStatus } from '../../src/core/run.js';
import { decisionOf, failureOf, opened, refusalOf, useApprovals } from './approval-people.js';
import { PROJECT, succeeded, type Harness } from './harness.js';
import { until } from './until.js';

const cli = process.env['ANNEAL_TEST_TEMPORAL'];

describe(
  'what a run tells of its approvals',
  { skip: cli === undefined ? 'ANNEAL_TEST_TEMPORAL is not set' : false },
  () => {
    let h: Harness;
    const send = useApprovals(cli ?? '', (harness) => (h = harness));

    const audit = async ({ workflowId }: WorkflowHandle): Promise<RunAudit> =>
      await createAnnealClient({ temporal: h.client, project: PROJECT }).audit(
        workflowId,
        h.directory.approvers,
      );
    /** The details that Temporal's Web UI shows now. */
    const details = async (handle: WorkflowHandle): Promise<string> => {
      const { currentDetails } = await handle.query<{ readonly currentDetails?: string }>(
        '__temporal_workflow_metadata',
      );
      return currentDetails ?? '';
    };

    test('an expiry is in the audit, with what it counts as, though nobody decided', async () => {
      for (const outcome of ['fail', 'reject', 'approve']) {
        const handle = await h.start('release', { expires: '1s', outcome });
        await handle.result().catch(() => undefined);
        const { decisions, gates, comparison } = await audit(handle);
        assert.deepEqual(decisions, []);
        const [gate, ...more] = gates;
        assert.deepEqual(more, []);
        assert.deepEqual([gate?.gate, gate?.quorum], ['go-live', 1]);
        assert.deepEqual([gate?.ended?.outcome, gate?.ended?.countsAs], ['expired', outcome]);
        assert.ok((gate?.ended?.atMs ?? 0) - (gate?.openedAtMs ?? 0) >= 1_000);
        assert.deepEqual(comparison, { with: 'history', problems: [] });
      }
    });

    test('a veto is in the audit as the decision that it was and as the end of its gate', async () => {
      const handle = await h.start('release', { veto: 'bo', quorum: 2 });
      const gate = await opened(handle);
      await send(handle, gate.executionId, decisionOf(gate, 'ana'));
      await send(handle, gate.executionId, decisionOf(gate, 'bo', { decision: 'reject', comment: 'drift' }));
      assert.equal((await failureOf(handle)).type, 'ApprovalRejected');
      const { decisions, gates } = await audit(handle);
      assert.deepEqual(
        decisions.map(({ by, decision, check, comment }) => [by, decision, check, comment]),
        [
          ['ana', 'approve', 'valid', undefined],
          ['bo', 'reject', 'valid', 'drift'],
        ],
      );
      const { outcome, by } = gates[0]?.ended ?? {};
      assert.deepEqual([outcome, by], ['vetoed', ['bo']]);
    });

    test('an escalation is in the audit, while the gate waits and after, between its opening and its end', async () => {
      const handle = await h.start('release', { escalateAfter: '1s', approvers: 'ana' });
      const gate = await opened(handle);
      await until(() => h.announcements.find(({ why }) => why === 'escalated'));
      const waiting = await audit(handle);
      assert.deepEqual(waiting.comparison, { with: 'run', problems: [] });
      assert.deepEqual([waiting.gates[0]?.escalated?.to, waiting.gates[0]?.ended], [['dora'], undefined]);
      await send(handle, gate.executionId, decisionOf(gate, 'dora'));
      await handle.result();
      const { decisions, gates } = await audit(handle);
      const [{ openedAtMs, escalated, ended } = { openedAtMs: 0 }] = gates;
      const times = [openedAtMs, escalated?.atMs, decisions[0]?.receivedAtMs, ended?.atMs];
      assert.deepEqual(
        times,
        [...times].sort((a = 0, b = 0) => a - b),
      );
      assert.equal((escalated?.atMs ?? 0) - openedAtMs, 1_000);
      assert.deepEqual([ended?.outcome, ended?.by, escalated?.to], ['approved', ['dora'], ['dora']]);
    });

    test('every gate is there once, in the order of opening, also over continuations and after a cancel', async () => {
      h.snapshot = { continueAfterEvents: 40 };
      const busy = await h.start('busy-release');
      const gate = await opened(busy);
      const newest = h.client.workflow.getHandle(busy.workflowId);
      await send(newest, gate.executionId, decisionOf(gate, 'ana'));
      await until(async () => (await newest.query<RunStatus>('status')).continuations >= 2);
      await send(newest, gate.executionId, decisionOf(gate, 'bo'));
      await busy.result();
      const { gates, decisions } = await audit(busy);
      assert.deepEqual(
        gates.map(({ openedAtMs, ended }) => [openedAtMs, ended?.by]),
        [[gate.open.openedAtMs, ['ana', 'bo']]],
      );
      assert.equal(decisions.length, 2);

      h.snapshot = {};
      const twice = await h.start('retrained');
      const first = await opened(twice);
      await send(twice, first.executionId, decisionOf(first, 'ana'));
      await opened(twice, 2);
      await twice.cancel();
      await twice.result().catch(() => undefined);
      const ends = (await audit(twice)).gates.map(({ ended }) => ended?.outcome);
      assert.deepEqual(ends, ['approved', 'cancelled']);
    });

    test('a signal that is refused is in the details that the Web UI shows now', async () => {
      const handle = await h.start('release');
      const gate = await opened(handle);
      assert.doesNotMatch(await details(handle), /Refused/);
      await handle.signal('decide', decisionOf(gate, 'eve'));
      const shown = await until(async () => {
        const text = await details(handle);
        return text.includes('Refused') ? text : undefined;
      });
      assert.match(
        shown,
        /^Refused decision of eve: "eve" may not decide on "go-live"; these may: ana, bo, cy/m,
      );
      assert.match(shown, /^Waiting for approval \*\*go-live\*\* by ana, bo, cy/m);
      await handle.terminate();
    });

    test('so is a decision that came too early and is refused when its gate opens; a forged one is refused at once', async () => {
      const go: { now?: () => void } = {};
      h.script = async (request) => {
        await new Promise<void>((resolve) => (go.now = resolve));
        return succeeded(request);
      };
      const handle = await h.start('release');
      const { executionId } = await until(async () => {
        const status = await handle.query<RunStatus>('status');
        return go.now && status;
      });
      const [request] = h.attempts.slice(-1);
      assert.ok(request);
      const made = succeeded(request);
      const digest = made.kind === 'succeeded' ? (made.outputs['data']?.digest ?? '') : '';
      const early = { open: { gate: 'go-live', digest } as PendingApproval, executionId };
      const good = decisionOf(early, 'ana');
      const { signature: _none, ...unsigned } = good;
      const forged = { ...good, comment: 'put in later' };
      assert.match(await refusalOf(send(handle, executionId, forged)), /signature does not fit/);
      const replayed = decisionOf({ ...early, executionId: 'another run' }, 'ana');
      assert.match(await refusalOf(send(handle, executionId, replayed)), /signed for another run/);
      const long = decisionOf(early, 'ana', { form: { x: 'y'.repeat(20_000) } });
      assert.match(await refusalOf(send(handle, executionId, long)), /at most 10000 characters/);
      await handle.signal('decide', forged);
      await until(async () => (await details(handle)).includes('signature does not fit'));
      // Whoever knows what Ana is about to say cannot keep it out by saying it first, without her signature.
      await handle.signal('decide', unsigned);
      await handle.signal('decide', decisionOf(early, 'eve'));
      await handle.signal('decide', good);
      go.now?.();
      assert.deepEqual(await handle.result(), { by: 'ana', approvedBy: ['ana'], verified: true, form: {} });
      const shown = await details(handle);
      assert.match(shown, /^Refused decision of ana: The decision of "ana" on "go-live" is not signed/m);
      assert.match(shown, /^Refused decision of eve: "eve" may not decide/m);
    });

    test('nobody can send along what the run alone notes down of a decision', async () => {
      const handle = await h.start('release');
      const gate = await opened(handle);
      const noted = {
        keptFrom: { runId: 'another', executionId: 'another' },
        ...{ id: 'mine', callId: 'mine', receivedAtMs: 1, verified: false, token: 'secret' },
      };
      await send(handle, gate.executionId, { ...decisionOf(gate, 'ana'), ...noted });
      await handle.result();
      const [decision] = (await audit(handle)).decisions;
      assert.deepEqual([decision?.check, decision?.keptFrom, decision?.verified], ['valid', undefined, true]);
      assert.ok(
        decision && decision.receivedAtMs > 1 && decision.id !== 'mine' && decision.callId !== 'mine',
      );
      assert.ok(!('token' in decision));
    });
  },
);
