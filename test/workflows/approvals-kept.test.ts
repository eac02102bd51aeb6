import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { WorkflowHandle } from '@temporalio/client';
import type { AttemptOutcome, AttemptRequest } from '../../src/core/attempt.js';
import { createAnnealClient, type AnnealClient } from '../../src/client/index.js';
import { pipelinesTaskQueue, STARTED_BY_MEMO, type RunStatus } from '../../src/core/run.js';
import { START_MEMO, startStatement } from '../../src/core/run-starter.js';
import { decisionOf, opened, people, signText, useApprovals } from './approval-people.js';
import { failed, PROJECT, succeeded, type AttemptScript, type Harness } from './harness.js';
import { until } from './until.js';

const cli = process.env['ANNEAL_TEST_TEMPORAL'];

describe(
  'signed approvals that a retry keeps',
  { skip: cli === undefined ? 'ANNEAL_TEST_TEMPORAL is not set' : false },
  () => {
    let h: Harness;
    const send = useApprovals(cli ?? '', (harness) => (h = harness));
    const client = (): AnnealClient => createAnnealClient({ temporal: h.client, project: PROJECT });

    const failsLate: AttemptScript = (request) =>
      request.parameters['n'] === 99 ? failed(request, 'StepRefused') : succeeded(request);

    /** Makes these bytes. */
    const makes = (request: AttemptRequest, digest: string): AttemptOutcome => {
      const made = succeeded(request);
      return made.kind === 'succeeded' && made.outputs['data']
        ? { ...made, outputs: { data: { ...made.outputs['data'], digest } } }
        : made;
    };

    /** A run that Ana has approved, and that failed after it. */
    const approvedThenFailed = async (handle: WorkflowHandle, by = 'ana'): Promise<string> => {
      const gate = await opened(handle);
      assert.equal(await send(handle, gate.executionId, decisionOf(gate, by)), 'recorded');
      assert.equal((await client().wait(handle.workflowId)).state, 'failed');
      h.script = (request) => succeeded(request);
      return handle.workflowId;
    };
    const start = async (): Promise<string> => {
      h.script = failsLate;
      return await approvedThenFailed(await h.start('shipped'));
    };
    const waiting = async (runId: string): Promise<RunStatus> =>
      await until(async () => {
        const status = await client().status(runId);
        return status.approvals.length > 0 ? status : undefined;
      });
    /** Why the kept decision does not count, of a run that asks again; it is ended. */
    const refusedIn = async (runId: string): Promise<string> => {
      const { refusedDecisions = [], decisions, calls } = await waiting(runId);
      assert.equal(decisions, undefined);
      assert.equal(refusedDecisions.length, 1);
      assert.equal(calls.find(({ kind }) => kind === 'approval')?.state, 'waiting');
      await client().terminate(runId, 'a test');
      const [refused] = refusedDecisions;
      assert.deepEqual([refused?.gate, refused?.by], ['go-live', 'ana']);
      return refused?.reason ?? '';
    };

    test('count for the same digest, verified anew, and the audit verifies them again', async () => {
      const first = await start();
      const { runId } = await client().retry(first, { keepApprovals: true });
      assert.equal((await client().wait(runId)).state, 'completed');
      const { decisions, comparison } = await client().audit(runId, h.directory.approvers);
      assert.deepEqual(
        decisions.map(({ by, verified, check, keptFrom }) => [by, verified, check, keptFrom?.runId]),
        [['ana', true, 'valid', first]],
      );
      assert.deepEqual(comparison, { with: 'history', problems: [] });
      h.script = (request) => makes(request, decisions[0]?.digest ?? '');
      const again = await client().retry(runId, { from: 'make', keepApprovals: true });
      assert.equal((await client().wait(again.runId)).state, 'completed', 'the same bytes were made again');
      const [kept] = (await client().audit(again.runId, h.directory.approvers)).decisions;
      assert.deepEqual([kept?.check, kept?.keptFrom?.runId], ['valid', first]);
    });

    test('whose signature was changed on the way do not count', async () => {
      const first = await start();
      const { executionId } = await client().status(first);
      const { runId } = await client().retry(first, { keepApprovals: true });
      await client().wait(runId);
      const [payload] = (await h.client.workflow.getHandle(runId).fetchHistory()).events ?? [];
      const given = payload?.workflowExecutionStartedEventAttributes?.input?.payloads ?? [];
      const [parameters, before] = given.map(
        (one) => JSON.parse(Buffer.from(one.data ?? []).toString()) as object,
      ) as [object, { seed: { decisions: { comment?: string }[] } }];
      for (const [what, change] of [
        ['another comment', { comment: 'forged' }],
        ['another run', { keptFrom: { runId: first, executionId: `${executionId}0` } }],
      ] as const) {
        const { seed } = before;
        const decisions = seed.decisions.map((decision) => ({ ...decision, ...change }));
        const forged = await h.client.workflow.start('shipped', {
          taskQueue: pipelinesTaskQueue(PROJECT),
          workflowId: `${first}-${what.replaceAll(' ', '-')}`,
          args: [parameters, { seed: { ...seed, decisions } }],
        });
        assert.match(await refusedIn(forged.workflowId), /^The signature does not fit the decision of "ana"/);
      }
    });

    test('of other bytes do not count, and the run says which bytes they are for', async () => {
      const first = await start();
      const [{ digest = '' } = {}] = (await client().audit(first)).decisions;
      h.script = (request) => makes(request, 'e'.repeat(64));
      const { runId } = await client().retry(first, { from: 'make', keepApprovals: true });
      assert.equal(
        await refusedIn(runId),
        `What was decided on "go-live" in the run before is for digest ${digest.slice(0, 12)}; what waits has eeeeeeeeeeee. Look at it again, then decide.`,
      );
    });

    test('of somebody who may no longer decide, or whose key was replaced, do not count', async () => {
      const first = await start();
      const { directory } = h;
      h.directory = { ...directory, groups: { ...directory.groups, leads: ['bo', 'cy'] } };
      const gone = await client().retry(first, { keepApprovals: true });
      assert.match(await refusedIn(gone.runId), /^"ana" may not decide on "go-live"; these may: bo, cy/);
      h.directory = {
        ...directory,
        approvers: directory.approvers.map((person) =>
          person.name === 'ana' ? { ...person, keys: [people['eve']?.publicKey ?? ''] } : person,
        ),
      };
      const replaced = await client().retry(first, { keepApprovals: true });
      assert.match(
        await refusedIn(replaced.runId),
        /signed with a key that anneal\.yaml does not list for "ana"/,
      );
    });

    test('do not suffice where more are asked: they count, and the gate waits for the rest', async () => {
      h.script = failsLate;
      const id = `shipped-signed-${process.pid}`;
      const atMs = Date.now();
      const statement = startStatement({
        ...{ project: PROJECT, pipeline: 'shipped', runId: id, by: 'bo', atMs },
      });
      const handle = await h.client.workflow.start('shipped', {
        taskQueue: pipelinesTaskQueue(PROJECT),
        workflowId: id,
        args: [{ notSelf: true }],
        memo: {
          [STARTED_BY_MEMO]: 'bo',
          [START_MEMO]: { atMs, signature: signText(people['bo'], statement) },
        },
      });
      await approvedThenFailed(handle);
      // Nobody signs this start, so one more person is asked than in the first run.
      const { runId } = await client().retry(id, { keepApprovals: true });
      const { approvals, decisions } = await waiting(runId);
      assert.deepEqual(
        [approvals[0]?.quorum, approvals[0]?.decided.map(({ by }) => by), decisions?.length],
        [2, ['ana'], 1],
      );
      const gate = await opened(h.client.workflow.getHandle(runId));
      await send({ workflowId: runId }, gate.executionId, decisionOf(gate, 'cy'));
      assert.equal((await client().wait(runId)).state, 'completed');
      const audited = await client().audit(runId, h.directory.approvers);
      assert.deepEqual(
        audited.decisions.map(({ by, check, keptFrom }) => [by, check, keptFrom?.runId]),
        [
          ['ana', 'valid', id],
          ['cy', 'valid', undefined],
        ],
      );
    });
  },
);
