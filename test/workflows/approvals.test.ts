import assert from 'node:assert/strict';
import { generateKeyPairSync, sign, type KeyObject } from 'node:crypto';
import path from 'node:path';
import { after, before, beforeEach, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { WorkflowFailedError, type WorkflowHandle } from '@temporalio/client';
import { approvalStatement, decisionId, type ApprovalDecision } from '../../src/core/approval.js';
import type { PendingApproval, RunStatus } from '../../src/core/run.js';
import { startHarness, succeeded, type Harness } from './harness.js';

const cli = process.env['ANNEAL_TEST_TEMPORAL'];

interface Person {
  readonly name: string;
  readonly key: KeyObject;
  readonly publicKey: string;
}

const people = Object.fromEntries(['ana', 'bo', 'cy', 'dora', 'eve'].map((name) => [name, person(name)]));

function person(name: string): Person {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519');
  const { x = '' } = publicKey.export({ format: 'jwk' });
  return { name, key: privateKey, publicKey: Buffer.from(x, 'base64url').toString('hex') };
}

function signed(executionId: string, decision: ApprovalDecision, by: Person | undefined): ApprovalDecision {
  assert.ok(by);
  const value = sign(null, Buffer.from(approvalStatement(executionId, decision)), by.key).toString('hex');
  return { ...decision, signature: { scheme: 'ed25519', key: by.publicKey, value } };
}

async function until<T>(probe: () => Promise<T | undefined> | T | undefined): Promise<T> {
  const deadline = Date.now() + 20_000;
  for (;;) {
    const value = await probe();
    if (value !== undefined && value !== false) return value;
    if (Date.now() > deadline) assert.fail('the condition did not come true in 20 s');
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}

describe(
  'approvals on the dev server',
  { skip: cli === undefined ? 'ANNEAL_TEST_TEMPORAL is not set' : false },
  () => {
    let h: Harness;
    before(async () => {
      const folder = path.dirname(fileURLToPath(import.meta.url));
      h = await startHarness(cli ?? '', { workflowsPath: path.join(folder, 'approval-pipelines.ts') });
    });
    after(async () => {
      await h.close();
    });
    beforeEach(() => {
      h.announcements.length = 0;
      h.snapshot = {};
      h.script = (request) => succeeded(request);
      h.directory = {
        approvers: ['ana', 'bo', 'cy', 'dora'].map((name) => ({
          name,
          keys: [people[name]?.publicKey ?? ''],
          email: `${name}@example.com`,
        })),
        groups: { leads: ['ana', 'bo', 'cy'], directors: ['dora'] },
      };
    });

    const opened = async (handle: WorkflowHandle, openings = 1) =>
      await until(async () => {
        const { approvals, executionId, calls } = await handle.query<RunStatus>('status');
        const [open] = approvals;
        const seen = calls.filter(({ kind }) => kind === 'approval').length;
        return open && seen >= openings ? { open, executionId } : undefined;
      });

    /** A decision of somebody with a key, as the client would make it. */
    const decisionOf = (
      { open, executionId }: { readonly open: PendingApproval; readonly executionId: string },
      name: string,
      change: Partial<ApprovalDecision> = {},
    ) =>
      signed(
        executionId,
        { gate: open.gate, digest: open.digest, decision: 'approve', by: name, atMs: 1, ...change },
        people[name],
      );

    const send = async (handle: WorkflowHandle, executionId: string, decision: ApprovalDecision) =>
      await h.client.workflow
        .getHandle(handle.workflowId)
        .executeUpdate('decide', { args: [decision], updateId: decisionId(executionId, decision) });

    const refusalOf = async (sending: Promise<unknown>) => {
      try {
        await sending;
      } catch (error) {
        return ((error as Error).cause as Error).message;
      }
      return assert.fail('the decision was taken');
    };

    const failureOf = async (handle: WorkflowHandle) => {
      const error: unknown = await handle.result().catch((failed: unknown) => failed);
      assert.ok(error instanceof WorkflowFailedError);
      const { type, message = '' } = (error.cause ?? {}) as {
        readonly type?: string;
        readonly message?: string;
      };
      return { type, message };
    };

    const acceptedUpdates = async (handle: WorkflowHandle) =>
      ((await handle.fetchHistory()).events ?? []).filter(
        (event) => event.workflowExecutionUpdateAcceptedEventAttributes,
      ).length;

    test('what is refused says why and never enters the history', async () => {
      const handle = await h.start('release', { notSelf: true }, undefined, 'ana');
      const gate = await opened(handle);
      const { executionId } = gate;
      const good = decisionOf(gate, 'bo');
      const { signature: _none, ...unsigned } = good;
      const cases: readonly [string, ApprovalDecision, RegExp][] = [
        ['the starter', decisionOf(gate, 'ana'), /"ana" started the run and may not decide/],
        [
          'another group',
          decisionOf(gate, 'dora'),
          /"dora" may not decide on "go-live"; these may: ana, bo, cy/,
        ],
        ['a stranger', decisionOf(gate, 'eve'), /"eve" may not decide/],
        ['no signature', unsigned, /"bo" on "go-live" is not signed/],
        ['a changed comment', { ...good, comment: 'forged' }, /signature does not fit/],
        ['another verdict', { ...good, decision: 'reject' }, /signature does not fit/],
        [
          'the signature of another run',
          decisionOf({ ...gate, executionId: 'other' }, 'bo'),
          /signature does not fit/,
        ],
        [
          'the key of another person',
          signed(executionId, unsigned, people['eve']),
          /a key that anneal.yaml does not list for "bo"/,
        ],
        [
          'a stale digest',
          decisionOf(gate, 'bo', { digest: 'f'.repeat(64) }),
          /is for digest ffffffffffff; what waits has/,
        ],
        ['no verdict', decisionOf(gate, 'bo', { decision: 'maybe' as 'approve' }), /"approve" or "reject"/],
        [
          'a form value that is not asked',
          decisionOf(gate, 'bo', { form: { x: 1 } }),
          /has no parameter "x"/,
        ],
        [
          'a broken signature',
          { ...good, signature: { scheme: 'ed25519', key: 'zz', value: '' } },
          /lower-case hex/,
        ],
      ];
      for (const [name, decision, expected] of cases)
        assert.match(await refusalOf(send(handle, executionId, decision)), expected, name);
      assert.equal(await acceptedUpdates(handle), 0);
      assert.equal(await send(handle, executionId, good), 'recorded');
      assert.deepEqual(await handle.result(), { by: 'bo', approvedBy: ['bo'], verified: true, form: {} });
    });

    test('a quorum counts different people, each once; the same decision sent again is answered and not counted', async () => {
      const handle = await h.start('release', { quorum: 2 });
      const gate = await opened(handle);
      const { executionId } = gate;
      const first = decisionOf(gate, 'ana');
      assert.equal(await send(handle, executionId, first), 'recorded');
      assert.equal(await send(handle, executionId, first), 'recorded');
      assert.equal(
        await h.client.workflow
          .getHandle(handle.workflowId)
          .executeUpdate('decide', { args: [first], updateId: 'sent from elsewhere' }),
        'recorded',
      );
      assert.match(
        await refusalOf(send(handle, executionId, decisionOf(gate, 'ana', { atMs: 2 }))),
        /"ana" has decided on "go-live" already: approve\. A person counts once/,
      );
      const { approvals } = await handle.query<RunStatus>('status');
      assert.deepEqual(approvals[0]?.decided, [{ by: 'ana', decision: 'approve', verified: true }]);
      // Two at once: both count, neither is lost.
      await send(handle, executionId, decisionOf(gate, 'cy'));
      assert.deepEqual(((await handle.result()) as { approvedBy: string[] }).approvedBy, ['ana', 'cy']);
    });

    test('of two at once for one place the second is refused', async () => {
      const handle = await h.start('release');
      const gate = await opened(handle);
      const answers = await Promise.allSettled(
        ['ana', 'bo', 'cy'].map(async (name) => await send(handle, gate.executionId, decisionOf(gate, name))),
      );
      const result = (await handle.result()) as { approvedBy: string[] };
      assert.equal(result.approvedBy.length, 1);
      assert.equal(answers.filter(({ status }) => status === 'fulfilled').length, 1);
      const { decisions } = await handle.query<RunStatus>('status');
      assert.deepEqual(
        decisions?.map(({ by }) => by),
        result.approvedBy,
      );
    });

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

    test('a decision that comes before its gate waits for it and is judged when it opens', async () => {
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
      const open = { gate: 'go-live', digest } as PendingApproval;
      assert.equal(
        await send(handle, executionId, decisionOf({ open, executionId }, 'eve')),
        'kept until the gate opens',
      );
      assert.equal(
        await send(handle, executionId, decisionOf({ open, executionId }, 'bo')),
        'kept until the gate opens',
      );
      go.now?.();
      assert.equal(((await handle.result()) as { by: string }).by, 'bo');
      const { refusedDecisions } = await handle.query<RunStatus>('status');
      assert.match(refusedDecisions?.[0]?.reason ?? '', /"eve" may not decide/);
    });

    test('a decision for bytes that were made again since is refused', async () => {
      const handle = await h.start('retrained');
      const first = await opened(handle);
      await send(handle, first.executionId, decisionOf(first, 'ana'));
      const second = await opened(handle, 2);
      assert.notEqual(second.open.digest, first.open.digest);
      assert.match(
        await refusalOf(send(handle, first.executionId, decisionOf(first, 'bo', { atMs: 2 }))),
        /is for digest .* what waits has/,
      );
      assert.equal(
        await send(handle, first.executionId, decisionOf(first, 'ana')),
        'recorded',
        'sent again: no effect',
      );
      assert.equal((await handle.query<RunStatus>('status')).approvals.length, 1);
      await send(handle, second.executionId, decisionOf(second, 'bo'));
      assert.equal(await handle.result(), 'bo');
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

    test('a decision before a reset is delivered again and counts after it', async () => {
      const handle = await h.start('release', { quorum: 2 });
      const gate = await opened(handle);
      await send(handle, gate.executionId, decisionOf(gate, 'ana'));
      const { events = [] } = await handle.fetchHistory();
      const first = events?.find((event) => event.workflowTaskCompletedEventAttributes)?.eventId;
      await h.client.workflowService.resetWorkflowExecution({
        namespace: 'default',
        workflowExecution: { workflowId: handle.workflowId },
        ...(first === undefined || first === null ? {} : { workflowTaskFinishEventId: first }),
        requestId: 'reset-1',
        reason: 'a test',
      });
      const newest = h.client.workflow.getHandle(handle.workflowId);
      await until(async () => {
        const { approvals } = await newest.query<RunStatus>('status');
        return approvals[0]?.decided.length === 1;
      });
      await send(newest, gate.executionId, decisionOf(gate, 'bo'));
      assert.deepEqual(((await newest.result()) as { approvedBy: string[] }).approvedBy, ['ana', 'bo']);
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
