import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { ClientDeps } from '../../src/client/client-deps.js';
import { decideApproval } from '../../src/client/decide-approval.js';
import type { ApprovalDecision } from '../../src/core/approval.js';
import type { PendingApproval, RunStatus } from '../../src/core/run.js';
import { report } from '../cli/fake-cli.js';

interface Sent {
  readonly updateId: string;
  readonly args: readonly [ApprovalDecision];
}

/** A server with one run that waits for what `approvals` says, and that keeps the updates it gets. */
function fakeServer(approvals: () => readonly PendingApproval[]): {
  readonly deps: ClientDeps;
  readonly sent: Sent[];
} {
  const status = (): RunStatus => {
    const { endedAtMs: _, ...open } = report({ state: 'waiting-for-approval', approvals: approvals() });
    return open;
  };
  const sent: Sent[] = [];
  const handle = {
    describe: async () =>
      await Promise.resolve({
        workflowId: 'churn-1',
        runId: 'epoch',
        type: 'churn-training',
        startTime: new Date(0),
        status: { name: 'RUNNING' },
        searchAttributes: {},
        raw: {},
      }),
    query: async () => await Promise.resolve(status()),
    executeUpdate: async (_: string, update: Sent) => {
      sent.push(update);
      return await Promise.resolve('recorded');
    },
  };
  const temporal: ClientDeps['temporal'] = Object.assign(Object.create(null), {
    workflow: { getHandle: () => handle },
    withDeadline: async (_: number, fn: () => Promise<unknown>) => await fn(),
  });
  let nowMs = 0;
  const clock = { nowMs: () => nowMs++, sleep: async () => await Promise.resolve() };
  return { deps: { temporal, project: 'shop', clock }, sent };
}

const DIGESTS = ['a'.repeat(64), 'b'.repeat(64)] as const;
const opened = (digest: string, openedAtMs: number): PendingApproval => ({
  gate: 'go-live',
  digest,
  openedAtMs,
  quorum: 1,
  allowUnverified: true,
  decided: [],
});
const decision = { runId: 'churn-1', gate: 'go-live', decision: 'approve', by: 'ana' } as const;

describe('a decision', () => {
  test('sent again with its time and digest is the same one, and without them another', async () => {
    const { deps, sent } = fakeServer(() => [opened(DIGESTS[0], 1_000)]);
    const made = await decideApproval(deps, decision);
    await decideApproval(deps, { ...decision, digest: made.digest, atMs: made.atMs ?? 0 });
    await decideApproval(deps, decision);
    const [first, repeated, next] = sent.map(({ updateId }) => updateId);
    assert.equal(first, repeated);
    assert.notEqual(first, next, 'the server would take it for the one before');
  });

  test('that does not say on which of two subjects is refused, with their digests', async () => {
    const { deps, sent } = fakeServer(() => DIGESTS.map((digest) => opened(digest, 1_000)));
    await assert.rejects(decideApproval(deps, decision), (error: Error) => {
      assert.match(error.message, /^Gate "go-live" of run "churn-1" waits for decisions on 2 subjects\./);
      for (const digest of DIGESTS) assert.ok(error.message.includes(digest));
      return true;
    });
    assert.equal(sent.length, 0);
    await decideApproval(deps, { ...decision, digest: DIGESTS[1] });
    assert.equal(sent[0]?.args[0].digest, DIGESTS[1]);
  });
});
