import { approvalStatement, decisionId, type ApprovalDecision } from '../core/approval.js';
import { AnnealError } from '../core/failures.js';
import { didYouMean } from '../core/nearest-name.js';
import { DECIDE_APPROVAL, type PendingApproval } from '../core/run.js';
import { CALL_TIMEOUT_MS, type ClientDeps } from './client-deps.js';
import { describeRun } from './describe-run.js';
import { shellWord } from './run-id.js';
import { readStatus } from './read-status.js';
import { isOpen } from './run-state.js';
import type { DecisionSigner } from './sign-decision.js';
import { classifyTemporalError, translateTemporalError } from './temporal-errors.js';

/** A decision as a person makes it. */
export interface DecideOptions extends Omit<ApprovalDecision, 'digest' | 'signature'> {
  readonly runId: string;
  /** Digest of what was seen. Default: of what the gate shows now. */
  readonly digest?: string;
  /** Signs the decision; see `openSigner`. Without one only a gate with `allowUnverified` takes it. */
  readonly signer?: DecisionSigner;
}

/**
 * Decides an approval and waits until the run has taken the decision. To send the same decision again, after an answer was lost, give
 * the `atMs` and digest of the first: it counts once.
 * @returns the decision as it was sent.
 * @throws AnnealError InvalidInput when there is no such gate, it waits for several decisions and no digest says which, or the run refuses;
 * WorkerUnavailable when nobody confirms.
 */
export async function decideApproval(deps: ClientDeps, options: DecideOptions): Promise<ApprovalDecision> {
  const { runId, signer, ...given } = options;
  const description = await describeRun(deps, runId);
  const executionId = description.raw.workflowExecutionInfo?.firstRunId ?? description.runId;
  // The time is part of the decision's identity: a gate that opens again for the same subject gets another decision.
  const plain = {
    ...given,
    digest: options.digest ?? (await openGate(deps, options)).digest,
    atMs: options.atMs ?? deps.clock.nowMs(),
  };
  const statement = approvalStatement(executionId, plain);
  const decision = signer === undefined ? plain : { ...plain, signature: await signer.sign(statement) };
  const handle = deps.temporal.workflow.getHandle(runId);
  try {
    await deps.temporal.withDeadline(deps.clock.nowMs() + CALL_TIMEOUT_MS, () =>
      handle.executeUpdate(DECIDE_APPROVAL, {
        args: [decision],
        updateId: decisionId(executionId, decision),
      }),
    );
    return decision;
  } catch (error) {
    throw translateRefusal(deps, error, { ...options, ...decision });
  }
}

async function openGate(
  deps: ClientDeps,
  { runId, gate }: DecideOptions,
): Promise<Pick<PendingApproval, 'digest'> & Partial<PendingApproval>> {
  const report = await readStatus(deps, runId);
  if (!isOpen(report.state))
    throw new AnnealError(
      'InvalidInput',
      `Run "${runId}" is ${report.state}; nothing of it waits for a decision.`,
    );
  const [open, ...others] = report.approvals.filter((approval) => approval.gate === gate);
  const digests = [...new Set([open, ...others].flatMap((approval) => approval?.digest ?? []))];
  if (digests.length > 1)
    throw new AnnealError(
      'InvalidInput',
      `Gate "${gate}" of run "${runId}" waits for decisions on ${digests.length} subjects. Say which by its digest (--digest): ${digests.join(', ')}`,
    );
  if (open) return open;
  if (report.notice !== undefined)
    throw new AnnealError(
      'WorkerUnavailable',
      `No worker of project "${deps.project}" answers for run "${runId}", so what its gates show is not known. Start one with "anneal up", or give the digest that you saw with --digest.`,
    );
  const gates = report.approvals.map((approval) => approval.gate);
  throw new AnnealError(
    'InvalidInput',
    `No gate "${gate}" of run "${runId}" waits for a decision; ${gates.length === 0 ? 'none does now' : `open: ${gates.map((name) => `"${name}"`).join(', ')}`}.${didYouMean(gate, gates)} See: anneal describe ${shellWord(runId)}`,
  );
}

function translateRefusal(
  deps: ClientDeps,
  error: unknown,
  { runId, gate, digest, atMs, decision }: DecideOptions,
): unknown {
  if (error instanceof Error && error.name === 'WorkflowUpdateFailedError') {
    const reason = error.cause instanceof Error ? error.cause.message : error.message;
    return new AnnealError('InvalidInput', `Run "${runId}" refuses the decision on "${gate}": ${reason}`, {
      cause: error,
    });
  }
  const kind = classifyTemporalError(error);
  if (kind !== 'no-answer' && kind !== 'cancelled') return translateTemporalError(error, `run "${runId}"`);
  const verb = decision === 'approve' ? 'approve' : 'reject';
  return new AnnealError(
    'WorkerUnavailable',
    `No worker of project "${deps.project}" confirmed the decision for run "${runId}" within ${CALL_TIMEOUT_MS / 1_000} s. Start one with "anneal up" and send it again; it counts once: anneal ${verb} ${shellWord(runId)} ${shellWord(gate)} --digest ${digest ?? ''} --at ${atMs ?? ''}`,
    { cause: error },
  );
}
