import { condition, isCancellation } from '@temporalio/workflow';
import { parseDuration } from '../core/duration.js';
import type { ApprovalDecision } from '../core/run.js';
import type { ApprovalOptions, Approved } from '../pipeline/runtime.js';
import { toFailure } from './failures.js';
import type { LiveCall, RunContext } from './run-context.js';

interface OpenGate {
  readonly gate: string;
  readonly digest: string;
  readonly approvers: readonly string[] | undefined;
  decision?: ApprovalDecision;
}

/** Decisions of people: those for an open gate are judged at once, those that come before it opens are kept until it does. */
export class Approvals {
  /** By the call that waits: one gate name may wait for several subjects. */
  private readonly open = new Map<string, OpenGate>();
  private readonly early: ApprovalDecision[];

  constructor(carried: readonly ApprovalDecision[]) {
    this.early = [...carried];
  }

  /** Why a decision cannot count, or undefined. The update's validator: what it refuses never enters the history. */
  refusal(decision: unknown): string | undefined {
    const problem = shapeProblem(decision);
    if (problem !== undefined) return problem;
    const { gate, digest, by } = decision as ApprovalDecision;
    const waiting = this.opened(gate);
    const asked = waiting.find((opened) => opened.digest === digest) ?? waiting[0];
    return asked && gateRefusal(asked, { gate, digest, by });
  }

  /** Takes a decision that was not refused. */
  accept(decision: ApprovalDecision): 'recorded' | 'kept until the gate opens' {
    const waiting = this.opened(decision.gate).filter(({ digest }) => digest === decision.digest);
    if (waiting.length === 0) {
      this.early.push(decision);
      return 'kept until the gate opens';
    }
    for (const opened of waiting) opened.decision ??= decision;
    return 'recorded';
  }

  /** Decisions whose gate has not opened. */
  carried(): readonly ApprovalDecision[] {
    return this.early;
  }

  /** Opens a gate and waits for its decision. */
  async wait(
    context: RunContext,
    call: LiveCall,
    request: { readonly gate: string; readonly options: ApprovalOptions },
  ): Promise<Approved> {
    const { gate, options } = request;
    const openedAtMs = call.pending?.openedAtMs ?? Date.now();
    const expiresAtMs =
      options.expires === undefined ? undefined : openedAtMs + parseDuration(options.expires);
    call.setPending({ openedAtMs });
    const opened: OpenGate = { gate, digest: options.subject.digest, approvers: options.approvers };
    this.open.set(call.callId, opened);
    this.judgeEarly(gate, opened);
    const status = {
      id: call.callId,
      kind: 'approval',
      name: gate,
      attempt: 1,
      startedAtMs: openedAtMs,
    } as const;
    if (!opened.decision) {
      context.view.put({ ...status, state: 'waiting' });
      context.view.openApproval(call.callId, {
        gate,
        digest: opened.digest,
        subjectUri: options.subject.uri,
        openedAtMs,
        ...(expiresAtMs === undefined ? {} : { expiresAtMs }),
      });
    }
    try {
      const decision = await decided(gate, opened, expiresAtMs);
      context.view.put({
        ...status,
        state: decision.decision === 'approve' ? 'succeeded' : 'failed',
        endedAtMs: Date.now(),
        detail: `${decision.decision} by ${decision.by}`,
      });
      return outcomeOf(decision);
    } catch (error) {
      const shown = context.view.call(call.callId);
      if (shown?.state === 'waiting')
        context.view.put({
          ...shown,
          state: isCancellation(error) ? 'cancelled' : 'failed',
          endedAtMs: Date.now(),
        });
      throw error;
    } finally {
      this.open.delete(call.callId);
      context.view.closeApproval(call.callId);
    }
  }

  private opened(gate: string): OpenGate[] {
    return [...this.open.values()].filter((opened) => opened.gate === gate);
  }

  private judgeEarly(gate: string, opened: OpenGate): void {
    const fitting = this.early.findIndex(
      (decision) => decision.gate === gate && gateRefusal(opened, decision) === undefined,
    );
    const [decision] = fitting < 0 ? [] : this.early.splice(fitting, 1);
    if (decision) opened.decision = decision;
  }
}

async function decided(
  gate: string,
  opened: OpenGate,
  expiresAtMs: number | undefined,
): Promise<ApprovalDecision> {
  const isDecided = () => opened.decision !== undefined;
  const summary = { summary: `expiry of approval ${gate}` };
  if (expiresAtMs === undefined) await condition(isDecided);
  else if (!isDecided()) await condition(isDecided, Math.max(1, expiresAtMs - Date.now()), summary);
  if (!opened.decision)
    throw toFailure(
      'ApprovalExpired',
      `Approval "${gate}" expired without a decision. Start the run again, or give it more time with expires.`,
    );
  return opened.decision;
}

function outcomeOf(decision: ApprovalDecision): Approved {
  const comment = decision.comment === undefined ? {} : { comment: decision.comment };
  if (decision.decision === 'approve') return { by: decision.by, ...comment };
  throw toFailure(
    'ApprovalRejected',
    `Approval "${decision.gate}" was rejected by ${decision.by}${decision.comment === undefined ? '' : `: ${decision.comment}`}.`,
  );
}

function gateRefusal(
  opened: OpenGate,
  { gate, digest, by }: Pick<ApprovalDecision, 'gate' | 'digest' | 'by'>,
): string | undefined {
  if (opened.decision)
    return `Approval "${gate}" was already decided: ${opened.decision.decision} by ${opened.decision.by}.`;
  if (digest !== opened.digest)
    return `The decision on "${gate}" is for digest ${digest.slice(0, 12)}; what waits has ${opened.digest.slice(0, 12)}. Look at it again, then decide.`;
  if (opened.approvers && !opened.approvers.includes(by))
    return `"${by}" may not decide on "${gate}"; these may: ${opened.approvers.join(', ')}.`;
  return undefined;
}

function shapeProblem(decision: unknown): string | undefined {
  if (typeof decision !== 'object' || decision === null)
    return 'A decision is one JSON object with gate, digest, decision and by.';
  const { gate, digest, decision: verdict, by } = decision as { [name: string]: unknown };
  for (const [name, value] of Object.entries({ gate, digest, by }))
    if (typeof value !== 'string' || value === '')
      return `A decision needs "${name}", a text that is not empty.`;
  return verdict === 'approve' || verdict === 'reject'
    ? undefined
    : 'A decision needs "decision": "approve" or "reject".';
}
