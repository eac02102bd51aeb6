import {
  decisionId,
  problemOfSignedText,
  type ApprovalDecision,
  type SignatureVerifier,
} from '../core/approval.js';
import { canonicalJson } from '../core/json.js';

/** Decisions that wait for their gate at most. */
const LIMIT = 100;

/** Decisions that came before their gate opened. Of such a one nothing is known but what it says itself: the gate judges the rest. */
export class EarlyDecisions {
  /** In the order in which they came. */
  readonly all: ApprovalDecision[];
  private readonly executionId: string;
  private readonly verify: SignatureVerifier;

  constructor(
    carried: readonly ApprovalDecision[] | undefined,
    run: { readonly executionId: string; readonly verify: SignatureVerifier },
  ) {
    this.all = [...(carried ?? [])];
    this.executionId = run.executionId;
    this.verify = run.verify;
  }

  /** Why one is not kept: its signature is nobody's, whatever the gate will ask, or too many wait. */
  refusal(decision: ApprovalDecision): string | undefined {
    const forged = problemOfSignedText(this.executionId, decision, this.verify);
    if (forged !== undefined || this.all.length < LIMIT) return forged;
    return `${LIMIT} decisions wait for gates that have not opened; no more are kept.`;
  }

  keep(decision: ApprovalDecision): void {
    this.all.push(decision);
  }

  /** Whether exactly this one waits: one without its signature, or with another, does not stand for it. */
  has(decision: ApprovalDecision): boolean {
    const identity = this.identityOf(decision);
    return this.all.some((early) => this.identityOf(early) === identity);
  }

  /** Takes out what is wanted, in order. */
  take(isWanted: (decision: ApprovalDecision) => boolean): ApprovalDecision[] {
    const taken = this.all.filter(isWanted);
    for (const decision of taken) this.all.splice(this.all.indexOf(decision), 1);
    return taken;
  }

  private identityOf(decision: ApprovalDecision): string {
    const { key, value } = decision.signature ?? { key: '', value: '' };
    return canonicalJson([decisionId(this.executionId, decision), key, value]);
  }
}
