import { approvalStatement, type Approver, type RecordedDecision } from '../core/approval.js';
import type { RunState } from '../core/run.js';
import { verifySignature } from '../core/verify-signature.js';
import type { ClientDeps } from './client-deps.js';
import { readStatus } from './read-status.js';

/** What a second look at a signature says. `unknown-key`: it fits, but the key is not listed for this person (any more). */
export type SignatureCheck = 'valid' | 'invalid' | 'unsigned' | 'unknown-key';

/** One decision of the audit. */
export interface AuditedDecision extends RecordedDecision {
  /** Present where the audit was asked to verify. */
  readonly check?: SignatureCheck;
}

/** Who decided what on which digest, complete, in the order in which the run took it. */
export interface RunAudit {
  readonly runId: string;
  readonly executionId: string;
  readonly pipeline: string;
  readonly state: RunState;
  readonly decisions: readonly AuditedDecision[];
}

/**
 * The decisions of a run, from the run itself while it lives, then from its record, or where there is none from its history.
 * @param approvers against whose keys the signatures are checked; absent: they are not.
 * @throws AnnealError RunNotFound, ServerUnreachable.
 */
export async function auditRun(
  deps: ClientDeps,
  runId: string,
  approvers?: readonly Approver[],
): Promise<RunAudit> {
  const { executionId, pipeline, state, decisions = [] } = await readStatus(deps, runId);
  const checked = decisions.map((decision) =>
    approvers === undefined
      ? decision
      : { ...decision, check: checkSignature(executionId, decision, approvers) },
  );
  return { runId, executionId, pipeline, state, decisions: checked };
}

function checkSignature(
  executionId: string,
  decision: RecordedDecision,
  approvers: readonly Approver[],
): SignatureCheck {
  const { signature, by } = decision;
  if (!signature) return 'unsigned';
  if (!verifySignature(approvalStatement(decision.keptFrom?.executionId ?? executionId, decision), signature))
    return 'invalid';
  const listed = approvers.find(({ name }) => name === by)?.keys ?? [];
  return listed.includes(signature.key) ? 'valid' : 'unknown-key';
}
