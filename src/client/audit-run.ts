import {
  approvalStatement,
  type Approver,
  type RecordedDecision,
  type SignatureVerifier,
} from '../core/approval.js';
import type { GateRecord } from '../core/gate-record.js';
import type { RunState } from '../core/run.js';
import type { ClientDeps } from './client-deps.js';
import { readClosingStatus } from './closing-status.js';
import { compareDecisions } from './compare-decisions.js';
import { readStatus, type RunReport } from './read-status.js';
import { isOpen } from './run-state.js';

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
  /** What became of each gate: opened, escalated, ended by people, a veto or its expiry. */
  readonly gates: readonly GateRecord[];
  /** Present where the audit was asked to verify. */
  readonly comparison?: AuditComparison;
}

/** Who may have signed, and what checks it. */
export interface AuditAgainst {
  readonly approvers: readonly Approver[];
  readonly verify: SignatureVerifier;
}

/** The decisions beside what the run itself says of them. */
export interface AuditComparison {
  /** `run`: it lives and was asked itself; `history`: what it handed over when it ended; `none`: it ended without a word of its own. */
  readonly with: 'run' | 'history' | 'none';
  /** What was taken out, put in or changed since, a sentence each. */
  readonly problems: readonly string[];
}

/**
 * The decisions of a run, from the run itself while it lives, then from its record, or where there is none from its history.
 * @param against by which the signatures are checked, and the record by the run's history; absent: they are not.
 * @throws AnnealError RunNotFound, ServerUnreachable.
 */
export async function auditRun(deps: ClientDeps, runId: string, against?: AuditAgainst): Promise<RunAudit> {
  const report = await readStatus(deps, runId);
  const { executionId, pipeline, state, decisions = [], gates = [] } = report;
  const found = { runId, executionId, pipeline, state, gates };
  if (against === undefined) return { ...found, decisions };
  const checked = decisions.map((decision) => ({
    ...decision,
    check: checkSignature(decision, executionId, against),
  }));
  return { ...found, decisions: checked, comparison: await compareWithRun(deps, report) };
}

async function compareWithRun(deps: ClientDeps, report: RunReport): Promise<AuditComparison> {
  if (isOpen(report.state)) return { with: 'run', problems: [] };
  const handedOver = await readClosingStatus(deps, report.runId);
  return handedOver === undefined
    ? { with: 'none', problems: [] }
    : { with: 'history', problems: compareDecisions(report, handedOver) };
}

function checkSignature(
  decision: RecordedDecision,
  executionId: string,
  { approvers, verify }: AuditAgainst,
): SignatureCheck {
  const { signature, by } = decision;
  if (!signature) return 'unsigned';
  if (!verify(approvalStatement(decision.keptFrom?.executionId ?? executionId, decision), signature))
    return 'invalid';
  const listed = approvers.find(({ name }) => name === by)?.keys ?? [];
  return listed.includes(signature.key) ? 'valid' : 'unknown-key';
}
