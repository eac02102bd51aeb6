import assert from 'node:assert/strict';
import { generateKeyPairSync, sign, type KeyObject } from 'node:crypto';
import path from 'node:path';
import { after, before, beforeEach } from 'node:test';
import { fileURLToPath } from 'node:url';
import { WorkflowFailedError, type WorkflowHandle } from '@temporalio/client';
import { approvalStatement, decisionId, type ApprovalDecision } from '../../src/core/approval.js';
import type { PendingApproval, RunStatus } from '../../src/core/run.js';
import { startHarness, succeeded, type Harness } from './harness.js';
import { until } from './until.js';

/** Somebody with a key. */
interface Person {
  readonly name: string;
  readonly key: KeyObject;
  readonly publicKey: string;
}

/** Eve is listed nowhere. */
export const people: { readonly [name: string]: Person } = Object.fromEntries(
  ['ana', 'bo', 'cy', 'dora', 'eve'].map((name) => [name, person(name)]),
);

function person(name: string): Person {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519');
  const { x = '' } = publicKey.export({ format: 'jwk' });
  return { name, key: privateKey, publicKey: Buffer.from(x, 'base64url').toString('hex') };
}

/** An Ed25519 signature of a text. */
export function signText(by: Person | undefined, text: string) {
  assert.ok(by);
  const value = sign(null, Buffer.from(text), by.key).toString('hex');
  return { scheme: 'ed25519', key: by.publicKey, value } as const;
}

export function signed(
  executionId: string,
  decision: ApprovalDecision,
  by: Person | undefined,
): ApprovalDecision {
  return { ...decision, signature: signText(by, approvalStatement(executionId, decision)) };
}

/** A gate that waits, and the run it is of. */
export interface Waiting {
  readonly open: PendingApproval;
  readonly executionId: string;
}

type Send = (
  handle: Pick<WorkflowHandle, 'workflowId'>,
  executionId: string,
  decision: ApprovalDecision,
) => Promise<unknown>;

/**
 * Gives the suite that calls this a dev server with the pipelines that ask for approvals, everything on it as each test wants to find it.
 * @returns what sends a decision to the newest execution of a run, as the client does.
 */
export function useApprovals(cli: string, take: (harness: Harness) => void): Send {
  let harness: Harness | undefined;
  const started = () => harness ?? assert.fail('There is a server within tests only.');
  before(async () => {
    const folder = path.dirname(fileURLToPath(import.meta.url));
    harness = await startHarness(cli, { workflowsPath: path.join(folder, 'approval-pipelines.ts') });
    take(harness);
  });
  after(async () => {
    await harness?.close();
  });
  beforeEach(() => resetApprovals(started()));
  return async ({ workflowId }, executionId, decision) =>
    await started()
      .client.workflow.getHandle(workflowId)
      .executeUpdate('decide', { args: [decision], updateId: decisionId(executionId, decision) });
}

/** Everything as each test finds it. */
function resetApprovals(h: Harness): void {
  h.announcements.length = 0;
  h.snapshot = {};
  h.principal = undefined;
  h.script = (request) => succeeded(request);
  h.directory = {
    approvers: ['ana', 'bo', 'cy', 'dora'].map((name) => ({
      name,
      keys: [people[name]?.publicKey ?? ''],
      email: `${name}@example.com`,
    })),
    groups: { leads: ['ana', 'bo', 'cy'], directors: ['dora'] },
  };
}

export async function opened(handle: WorkflowHandle, openings = 1): Promise<Waiting> {
  return await until(async () => {
    const { approvals, executionId, calls } = await handle.query<RunStatus>('status');
    const [open] = approvals;
    const seen = calls.filter(({ kind }) => kind === 'approval').length;
    return open && seen >= openings ? { open, executionId } : undefined;
  });
}

/** A decision of somebody with a key, as the client would make it. */
export function decisionOf(
  { open, executionId }: Waiting,
  name: string,
  change: Partial<ApprovalDecision> = {},
): ApprovalDecision {
  const decision = { gate: open.gate, digest: open.digest, decision: 'approve', by: name, atMs: 1 } as const;
  return signed(executionId, { ...decision, ...change }, people[name]);
}

export async function refusalOf(sending: Promise<unknown>): Promise<string> {
  try {
    await sending;
  } catch (error) {
    return ((error as Error).cause as Error).message;
  }
  return assert.fail('the decision was taken');
}

export async function failureOf(handle: WorkflowHandle) {
  const error: unknown = await handle.result().catch((failed: unknown) => failed);
  assert.ok(error instanceof WorkflowFailedError);
  const { type, message = '' } = (error.cause ?? {}) as {
    readonly type?: string;
    readonly message?: string;
  };
  return { type, message };
}

export async function acceptedUpdates(handle: WorkflowHandle): Promise<number> {
  const { events } = await handle.fetchHistory();
  return (events ?? []).filter((event) => event.workflowExecutionUpdateAcceptedEventAttributes).length;
}
