import { AnnealError } from '../core/failures.js';
import { digestOf } from '../core/digest.js';
import { didYouMean } from '../core/nearest-name.js';
import { DECIDE_APPROVAL, type ApprovalDecision, type PendingApproval } from '../core/run.js';
import { CALL_TIMEOUT_MS, type ClientDeps } from './client-deps.js';
import { shellWord } from './run-id.js';
import { readStatus } from './read-status.js';
import { isOpen } from './run-state.js';
import { classifyTemporalError, translateTemporalError } from './temporal-errors.js';

/** A decision as a person makes it. */
export interface DecideOptions extends Omit<ApprovalDecision, 'digest'> {
  readonly runId: string;
  /** Digest of what was seen. Default: of what the gate shows now. */
  readonly digest?: string;
  /** The same id is counted once, so a call whose answer was lost can be repeated. Default: made from the decision and, without `digest`, from when its gate opened. */
  readonly updateId?: string;
}

/**
 * Decides an approval and waits until the run has taken the decision.
 * @returns the decision as it was sent.
 * @throws AnnealError InvalidInput when there is no such gate, it waits for several decisions and no digest says which, or the run refuses;
 * WorkerUnavailable when nobody confirms.
 */
export async function decideApproval(deps: ClientDeps, options: DecideOptions): Promise<ApprovalDecision> {
  const { runId, updateId, ...given } = options;
  const { digest, openedAtMs } =
    options.digest === undefined ? await openGate(deps, options) : { digest: options.digest };
  const decision = { ...given, digest };
  // A gate may open again for the same subject; that is another decision, whose text is the same.
  const identity = openedAtMs === undefined ? decision : [decision, openedAtMs];
  const handle = deps.temporal.workflow.getHandle(runId);
  try {
    await deps.temporal.withDeadline(deps.clock.nowMs() + CALL_TIMEOUT_MS, () =>
      handle.executeUpdate(DECIDE_APPROVAL, {
        args: [decision],
        updateId: updateId ?? digestOf(identity).slice(0, 40),
      }),
    );
    return decision;
  } catch (error) {
    throw translateRefusal(deps, error, options);
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
  if (report.notice !== undefined) throw unconfirmed(deps, runId);
  const gates = report.approvals.map((approval) => approval.gate);
  throw new AnnealError(
    'InvalidInput',
    `No gate "${gate}" of run "${runId}" waits for a decision; ${gates.length === 0 ? 'none does now' : `open: ${gates.map((name) => `"${name}"`).join(', ')}`}.${didYouMean(gate, gates)} See: anneal describe ${shellWord(runId)}`,
  );
}

function translateRefusal(deps: ClientDeps, error: unknown, { runId, gate }: DecideOptions): unknown {
  if (error instanceof Error && error.name === 'WorkflowUpdateFailedError') {
    const reason = error.cause instanceof Error ? error.cause.message : error.message;
    return new AnnealError('InvalidInput', `Run "${runId}" refuses the decision on "${gate}": ${reason}`, {
      cause: error,
    });
  }
  const kind = classifyTemporalError(error);
  return kind === 'no-answer' || kind === 'cancelled'
    ? unconfirmed(deps, runId, error)
    : translateTemporalError(error, `run "${runId}"`);
}

function unconfirmed(deps: ClientDeps, runId: string, cause?: unknown): AnnealError {
  return new AnnealError(
    'WorkerUnavailable',
    `No worker of project "${deps.project}" confirmed the decision for run "${runId}" within ${CALL_TIMEOUT_MS / 1_000} s. Start one with "anneal up" and repeat the command; it counts once.`,
    { cause },
  );
}
