import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type RunStatus } from '../../src/core/run.js';
import {
  acceptedUpdates,
  useApprovals,
  opened,
  decisionOf,
  refusalOf,
  failureOf,
} from './approval-people.js';
import { succeeded, type Harness } from './harness.js';
import { until } from './until.js';

const cli = process.env['ANNEAL_TEST_TEMPORAL'];

describe(
  'approvals on the dev server',
  { skip: cli === undefined ? 'ANNEAL_TEST_TEMPORAL is not set' : false },
  () => {
    let h: Harness;
    const send = useApprovals(cli ?? '', (harness) => (h = harness));

    test("anybody's rejection ends the gate, but where some have a veto, only theirs does at once", async () => {
      const plain = await h.start('release', { quorum: 2 });
      const one = await opened(plain);
      await send(plain, one.executionId, decisionOf(one, 'bo', { decision: 'reject', comment: 'drift' }));
      const { type, message } = await failureOf(plain);
      assert.equal(type, 'ApprovalRejected');
      assert.match(message, /"go-live" was rejected by bo: drift\./);

      const vetoed = await h.start('release', { veto: 'bo' });
      const two = await opened(vetoed);
      await send(vetoed, two.executionId, decisionOf(two, 'ana', { decision: 'reject' }));
      assert.equal((await vetoed.query<RunStatus>('status')).approvals.length, 1, 'ana has no veto');
      await send(vetoed, two.executionId, decisionOf(two, 'cy'));
      assert.deepEqual(((await vetoed.result()) as { approvedBy: string[] }).approvedBy, ['cy']);
    });

    test('a rejection that leaves too few people for the quorum ends the gate', async () => {
      const handle = await h.start('release', { quorum: 3, veto: 'dora', approvers: 'leads' });
      const gate = await opened(handle);
      await send(handle, gate.executionId, decisionOf(gate, 'ana', { decision: 'reject' }));
      assert.equal((await failureOf(handle)).type, 'ApprovalRejected');
    });

    test('an expiry fails, rejects or approves, as the gate says, and a later decision is refused', async () => {
      const fails = await h.start('release', { expires: '1s' });
      const rejects = await h.start('release', { expires: '1s', outcome: 'reject' });
      const approves = await h.start('release', { expires: '1s', outcome: 'approve' });
      const late = await opened(approves);
      assert.equal((await failureOf(fails)).type, 'ApprovalExpired');
      assert.equal((await failureOf(rejects)).type, 'ApprovalRejected');
      assert.deepEqual(await approves.result(), { by: 'expiry', approvedBy: [], verified: false, form: {} });
      await assert.rejects(send(approves, late.executionId, decisionOf(late, 'ana')));
    });

    test('after its expiry a gate takes nothing more, though its run goes on', async () => {
      const go: { now?: () => void } = {};
      h.script = async (request) => {
        if (request.parameters['n'] === 99) await new Promise<void>((resolve) => (go.now = resolve));
        return succeeded(request);
      };
      const handle = await h.start('shipped', { expires: '1s' });
      const gate = await opened(handle);
      await until(() => go.now);
      const late = decisionOf(gate, 'ana', { decision: 'reject' });
      assert.match(
        await refusalOf(send(handle, gate.executionId, late)),
        /^Approval "go-live" expired at \d{4}-/,
      );
      await handle.signal('decide', late);
      await until(async () => (await handle.query<RunStatus>('status')).refusedDecisions?.length === 1);
      assert.equal(await acceptedUpdates(handle), 0);
      go.now?.();
      assert.deepEqual(((await handle.result()) as { approvedBy: string[] }).approvedBy, []);
    });

    test('after its end a gate takes nothing more, from whomever', async () => {
      const handle = await h.start('release', { expires: '1s', outcome: 'approve' });
      const gate = await opened(handle);
      await handle.result();
      const late = send(handle, gate.executionId, decisionOf(gate, 'ana', { decision: 'reject' }));
      await assert.rejects(late, /completed|not found/i);
      assert.equal((await handle.query<RunStatus>('status')).decisions, undefined);
    });

    test('after the escalation others may decide too, and are told', async () => {
      const handle = await h.start('release', { escalateAfter: '2s', approvers: 'ana' });
      const gate = await opened(handle);
      assert.match(
        await refusalOf(send(handle, gate.executionId, decisionOf(gate, 'dora'))),
        /these may: ana/,
      );
      await until(() => h.announcements.find(({ why }) => why === 'escalated'));
      assert.deepEqual(
        h.announcements.map(({ why, to }) => [why, ...to]),
        [
          ['opened', 'ana@example.com'],
          ['escalated', 'dora@example.com'],
        ],
      );
      await send(handle, gate.executionId, decisionOf(gate, 'dora'));
      assert.equal(((await handle.result()) as { by: string }).by, 'dora');
    });

    test('reminders go to those who have not decided', async () => {
      const handle = await h.start('release', { remindEvery: '1s', quorum: 2, approvers: 'ana,bo' });
      const gate = await opened(handle);
      await send(handle, gate.executionId, decisionOf(gate, 'ana'));
      const reminder = await until(() => h.announcements.find(({ why }) => why === 'reminder'));
      assert.deepEqual(reminder.to, ['bo@example.com']);
      await send(handle, gate.executionId, decisionOf(gate, 'bo'));
      await handle.result();
    });

    test('a form value is checked, takes its default, and all who approve must mean the same', async () => {
      const handle = await h.start('release', { form: true, quorum: 2 });
      const gate = await opened(handle);
      const { executionId } = gate;
      assert.match(
        await refusalOf(send(handle, executionId, decisionOf(gate, 'ana', { form: { threshold: 2 } }))),
        /"threshold" of the form of "go-live" is 2; it must be a number from 0 to 1/,
      );
      await send(handle, executionId, decisionOf(gate, 'ana', { form: { threshold: 0.9 } }));
      assert.match(
        await refusalOf(send(handle, executionId, decisionOf(gate, 'bo'))),
        /"ana" approved "go-live" with \{"threshold":0\.9\}, this says \{"threshold":0\.85\}/,
      );
      await send(handle, executionId, decisionOf(gate, 'bo', { form: { threshold: 0.9 } }));
      assert.deepEqual(((await handle.result()) as { form: object }).form, { threshold: 0.9 });
    });

    test('a signal counts like an update, and the reason of a refused one is in the status', async () => {
      const handle = await h.start('release');
      const gate = await opened(handle);
      await handle.signal('decide', decisionOf(gate, 'eve'));
      await handle.signal('decide', 'nonsense');
      const { refusedDecisions } = await until(async () => {
        const status = await handle.query<RunStatus>('status');
        return status.refusedDecisions?.length === 2 ? status : undefined;
      });
      assert.match(refusedDecisions?.[0]?.reason ?? '', /"eve" may not decide/);
      assert.match(refusedDecisions?.[1]?.reason ?? '', /one JSON object/);
      await handle.signal('decide', decisionOf(gate, 'cy'));
      assert.equal(((await handle.result()) as { by: string }).by, 'cy');
    });

    test('who has decided is kept while the run continues as new', async () => {
      h.snapshot = { continueAfterEvents: 40 };
      const handle = await h.start('busy-release');
      const gate = await opened(handle);
      const newest = h.client.workflow.getHandle(handle.workflowId);
      await send(handle, gate.executionId, decisionOf(gate, 'ana'));
      await until(async () => {
        const { continuations, approvals } = await newest.query<RunStatus>('status');
        return continuations >= 2 && approvals[0]?.decided.length === 1;
      });
      assert.match(
        await refusalOf(send(handle, gate.executionId, decisionOf(gate, 'ana', { atMs: 2 }))),
        /A person counts once/,
      );
      await send(handle, gate.executionId, decisionOf(gate, 'bo'));
      assert.deepEqual(await handle.result(), ['ana', 'bo']);
      assert.equal(h.announcements.filter(({ why }) => why === 'opened').length, 1);
    });

    test('a gate that nobody could pass fails when it opens, by what is wrong', async () => {
      const cases: readonly [object, RegExp][] = [
        [
          { approvers: 'lead' },
          /names "lead", who is neither an approver nor a group.* Did you mean "leads"\?/,
        ],
        [{ quorum: 4 }, /needs 4 approvals, but only 3 people may give one/],
        [{ quorum: 0 }, /has quorum 0; it must be a whole number of at least 1/],
      ];
      for (const [parameters, expected] of cases) {
        const { type, message } = await failureOf(await h.start('release', parameters));
        assert.equal(type, 'InvalidInput');
        assert.match(message, expected);
      }
      h.directory = { approvers: [], groups: {} };
      assert.match(
        (await failureOf(await h.start('release', { approvers: '' }))).message,
        /lists nobody who could sign/,
      );
    });

    test('unsigned decisions count where the gate says so, and are said to be unverified', async () => {
      const handle = await h.start('release', { unverified: true, approvers: 'ana,zoe' });
      const gate = await opened(handle);
      const { signature: _none, ...unsigned } = decisionOf(gate, 'bo');
      await send(handle, gate.executionId, { ...unsigned, by: 'zoe' });
      assert.equal(((await handle.result()) as { verified: boolean }).verified, false);
      const { decisions } = await handle.query<RunStatus>('status');
      assert.deepEqual(
        decisions?.map(({ by, verified }) => [by, verified]),
        [['zoe', false]],
      );
    });
  },
);
