import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { ApprovalDecision } from '../../src/core/approval.js';
import {
  pipelinesTaskQueue,
  STARTED_BY_MEMO,
  type PendingApproval,
  type RunStatus,
} from '../../src/core/run.js';
import { START_MEMO, startStatement } from '../../src/core/run-starter.js';
import {
  people,
  signed,
  signText,
  useApprovals,
  opened,
  decisionOf,
  refusalOf,
  failureOf,
  acceptedUpdates,
} from './approval-people.js';
import { PROJECT, type Harness, succeeded } from './harness.js';
import { until } from './until.js';

const cli = process.env['ANNEAL_TEST_TEMPORAL'];

describe(
  'decisions that must not count',
  { skip: cli === undefined ? 'ANNEAL_TEST_TEMPORAL is not set' : false },
  () => {
    let h: Harness;
    const send = useApprovals(cli ?? '', (harness) => (h = harness));

    /** A run whose start somebody signed. */
    interface Start {
      readonly by: string;
      readonly signer: string;
      readonly signedId: string;
      readonly atMs: number;
      readonly parameters: object;
    }
    let starts = 0;
    const startSigned = async (name: string, given: Partial<Start> = {}) => {
      const runId = `signed-${process.pid}-${starts++}`;
      const { by = name, signer = name, signedId = runId, atMs = Date.now(), parameters = {} } = given;
      const statement = startStatement({ project: PROJECT, pipeline: 'release', runId: signedId, by, atMs });
      return await h.client.workflow.start('release', {
        taskQueue: pipelinesTaskQueue(PROJECT),
        workflowId: runId,
        args: [{ notSelf: true, ...parameters }],
        memo: {
          [STARTED_BY_MEMO]: by,
          [START_MEMO]: { atMs, signature: signText(people[signer], statement) },
        },
      });
    };

    test('what is refused says why and never enters the history', async () => {
      const handle = await startSigned('ana');
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

    test('a start that nobody signed proves nothing: one more person decides, whatever name it gave', async () => {
      const handle = await h.start('release', { notSelf: true }, undefined, 'dora');
      const gate = await opened(handle);
      assert.deepEqual([gate.open.quorum, gate.open.startUnproven, gate.open.excluded], [2, true, undefined]);
      await send(handle, gate.executionId, decisionOf(gate, 'bo'));
      assert.equal((await handle.query<RunStatus>('status')).approvals.length, 1, 'it may have been bo');
      await send(handle, gate.executionId, decisionOf(gate, 'ana'));
      assert.deepEqual(((await handle.result()) as { approvedBy: string[] }).approvedBy, ['bo', 'ana']);

      const few = await h.start('release', { notSelf: true, quorum: 3 });
      assert.match((await failureOf(few)).message, /needs 4 approvals, but only 3 people.*anneal run --sign/);
    });

    test('a forged, borrowed or old signature of a start is no proof', async () => {
      const forged: [string, Partial<Start>][] = [
        ['the key of another person', { signer: 'bo' }],
        ['a key that is listed for nobody', { signer: 'eve', by: 'eve' }],
        ['the signature of another run', { signedId: 'another' }],
        ['the signature of an old start', { atMs: Date.now() - 3_600_000 }],
      ];
      for (const [what, start] of forged) {
        const handle = await startSigned('ana', start);
        const { open } = await opened(handle);
        assert.deepEqual([open.quorum, open.startUnproven], [2, true], what);
        await handle.terminate();
      }
    });

    test("the server's own record of who started a run beats what its memo says", async () => {
      h.principal = 'bo@example.com';
      const handle = await startSigned('ana');
      const gate = await opened(handle);
      assert.deepEqual([gate.open.quorum, gate.open.excluded], [1, 'bo']);
      assert.match(
        await refusalOf(send(handle, gate.executionId, decisionOf(gate, 'bo'))),
        /"bo" started the run and may not decide/,
      );
      await send(handle, gate.executionId, decisionOf(gate, 'ana'));
      await handle.result();
    });

    test('during a reset nothing counts twice, and who was refused before is refused after it', async () => {
      const handle = await startSigned('ana', { parameters: { quorum: 2 } });
      const gate = await opened(handle);
      await send(handle, gate.executionId, decisionOf(gate, 'bo'));
      const { events = [] } = await handle.fetchHistory();
      const first = events?.find((event) => event.workflowTaskCompletedEventAttributes)?.eventId;
      const resetting = h.client.workflowService.resetWorkflowExecution({
        namespace: 'default',
        workflowExecution: { workflowId: handle.workflowId },
        ...(first === undefined || first === null ? {} : { workflowTaskFinishEventId: first }),
        requestId: 'reset-abuse',
        reason: 'a test',
      });
      // Sent while the server makes the new execution: to whichever there is.
      await Promise.allSettled([
        send(handle, gate.executionId, decisionOf(gate, 'ana')),
        send(handle, gate.executionId, decisionOf(gate, 'bo', { atMs: 2 })),
        resetting,
      ]);
      const newest = h.client.workflow.getHandle(handle.workflowId);
      const { decided, excluded } = await until(async () => {
        const [open] = (await newest.query<RunStatus>('status')).approvals;
        return open?.decided.length === 1 ? open : undefined;
      });
      assert.deepEqual([decided.map(({ by }) => by), excluded], [['bo'], 'ana']);
      for (const [name, expected] of [
        ['ana', /started the run/],
        ['bo', /A person counts once/],
      ] as const)
        assert.match(
          await refusalOf(send(newest, gate.executionId, decisionOf(gate, name, { atMs: 3 }))),
          expected,
        );
      await send(newest, gate.executionId, decisionOf(gate, 'cy'));
      assert.deepEqual(((await newest.result()) as { approvedBy: string[] }).approvedBy, ['bo', 'cy']);
    });
  },
);
