import { CancellationScope, isCancellation } from '@temporalio/workflow';
import {
  decisionId,
  judgeDecision,
  problemOfShape,
  tallyDecisions,
  type ApprovalDecision,
  type CarriedDecisions,
  type Gate,
  type RecordedDecision,
  type RefusedDecision,
} from '../core/approval.js';
import type { ApprovalRequest, Approved } from '../pipeline/runtime.js';
import { announceGate, resolveApprovers, type Announced } from './announce-gate.js';
import { toFailure } from './failures.js';
import { claimedStart } from './claimed-start.js';
import { untilDecided } from './gate-wait.js';
import { describeGate, openGate, outcomeOfGate, type Opening } from './gate.js';
import type { LiveCall } from './live-call.js';
import type { RunContext } from './run-context.js';
import { howApproved, keptFor } from './kept-decisions.js';
import type { RunView } from './run-state.js';
import type { CallStatus } from '../core/run.js';
import type { RetrySeed } from '../core/run-control.js';
import { verifySignature } from '../core/verify-signature.js';

interface OpenGate {
  readonly callId: string;
  readonly gate: Gate;
  /** Called after each decision. */
  readonly changed: readonly (() => void)[];
}

/** Decisions that wait for their gate at most. */
const EARLY_LIMIT = 100;
/** Refused signals that are shown. */
const REFUSED_SHOWN = 10;

/** Decisions of people: those for an open gate are judged at once, those that come before it opens are kept until it does. */
export class Approvals {
  private readonly view: RunView;
  /** By the call that waits: one gate name may wait for several subjects. */
  private readonly open = new Map<string, OpenGate>();
  private readonly early: ApprovalDecision[];
  private readonly recorded: RecordedDecision[];
  private readonly refused: RefusedDecision[];

  constructor(view: RunView, carried: CarriedDecisions | undefined) {
    this.view = view;
    this.early = [...(carried?.early ?? [])];
    this.recorded = [...(carried?.recorded ?? [])];
    this.refused = [...(carried?.refused ?? [])];
    view.decisions = this.recorded;
    view.refusedDecisions = this.refused;
  }

  /** Why a decision cannot count, or undefined. The update's validator: what it refuses never enters the history. */
  refusal(given: unknown): string | undefined {
    const problem = problemOfShape(given);
    if (problem !== undefined) return problem;
    const decision = given as ApprovalDecision;
    // The same decision again: its answer was lost. It is answered like the first, and counts once.
    if (this.knows(decision)) return undefined;
    const waiting = this.opened(decision.gate);
    const asked = waiting.find(({ gate }) => gate.digest === decision.digest) ?? waiting[0];
    if (!asked) return this.decidedBefore(decision) ?? this.tooEarly();
    const judged = this.judge(asked, decision);
    return 'refusal' in judged ? judged.refusal : undefined;
  }

  /** Takes a decision that was not refused. @throws InvalidInput where another one came first. */
  accept(decision: ApprovalDecision): 'recorded' | 'kept until the gate opens' {
    const waiting = this.opened(decision.gate).find(({ gate }) => gate.digest === decision.digest);
    if (this.knows(decision)) return waiting ? 'recorded' : 'kept until the gate opens';
    if (!waiting) {
      this.early.push(decision);
      return 'kept until the gate opens';
    }
    // A handler runs after its validator, perhaps after another decision in the same task.
    const judged = this.judge(waiting, decision);
    if ('refusal' in judged) throw toFailure('InvalidInput', judged.refusal);
    this.record(waiting, decision, judged.verified);
    return 'recorded';
  }

  /** Takes a decision that came by signal; nobody waits for an answer, so a refusal is shown with the run. */
  receive(given: unknown): void {
    const reason = this.refusal(given);
    if (reason === undefined) {
      this.accept(given as ApprovalDecision);
      return;
    }
    this.refuse(given, reason);
  }

  /** What the next execution needs. */
  carried(): CarriedDecisions {
    return { early: this.early, recorded: this.recorded, refused: this.refused };
  }

  /** Opens a gate and waits until it is decided or expires. */
  async wait(
    context: RunContext,
    call: LiveCall,
    request: { readonly name: string; readonly options: ApprovalRequest },
  ): Promise<Approved> {
    const { name, options } = request;
    const gate = call.pending?.gate ?? openGate(name, options, await openingOf(call, this.view, request));
    let announced = call.pending?.announced === true;
    call.setPending({ gate, announced });
    const show = () => {
      if (tallyDecisions(gate, this.countedFor(call.callId), Date.now()) === 'waiting')
        this.view.openApproval(
          call.callId,
          describeGate(gate, this.countedFor(call.callId), options.subject.uri),
        );
    };
    this.watch(call.callId, gate, [show]);
    if (!call.pending?.gate) this.judgeKept(call, gate, context.seed);
    this.judgeEarly();
    this.view.put({ ...statusOf(call, gate), state: 'waiting' });
    show();
    const scope = new CancellationScope();
    const announce = (why: Announced['why']) =>
      scope.run(async () => {
        await announceGate(context, call, { why, gate, options, counted: this.countedFor(call.callId) });
        announced = true;
        call.setPending({ gate, announced });
      });
    const telling: Promise<void>[] = [];
    try {
      if (!announced && this.isWaiting(call.callId, gate)) telling.push(announce('opened'));
      await untilDecided(context, gate, {
        ...{ options, scope },
        isDecided: () => !this.isWaiting(call.callId, gate),
        onChange: (then) => this.watch(call.callId, gate, [show, then]),
        tell: (why) => {
          show();
          telling.push(announce(why));
        },
      });
      const outcome = outcomeOfGate(gate, this.countedFor(call.callId), {
        ...options,
        nowMs: Date.now(),
      });
      this.settle(call, gate, howApproved(outcome.by, this.countedFor(call.callId), context.seed));
      return outcome;
    } catch (error) {
      const cancelled = isCancellation(error);
      this.settle(call, gate, {
        state: cancelled ? 'cancelled' : 'failed',
        ...(cancelled || !(error instanceof Error) ? {} : { detail: error.message }),
      });
      throw error;
    } finally {
      this.open.delete(call.callId);
      this.view.closeApproval(call.callId);
      scope.cancel();
      await Promise.allSettled(telling);
    }
  }

  private watch(callId: string, gate: Gate, changed: readonly (() => void)[]): void {
    this.open.set(callId, { callId, gate, changed });
  }

  private settle(call: LiveCall, gate: Gate, end: Pick<CallStatus, 'state' | 'detail' | 'cachedFrom'>): void {
    this.view.put({ ...statusOf(call, gate), ...end, endedAtMs: Date.now() });
  }

  private isWaiting(callId: string, gate: Gate): boolean {
    return tallyDecisions(gate, this.countedFor(callId), Date.now()) === 'waiting';
  }

  private countedFor(callId: string): readonly RecordedDecision[] {
    return this.recorded.filter((decision) => decision.callId === callId);
  }

  private opened(name: string): OpenGate[] {
    return [...this.open.values()].filter(({ gate }) => gate.name === name);
  }

  private judge(
    opened: OpenGate,
    decision: ApprovalDecision,
    executionId = this.view.executionId,
  ): { readonly verified: boolean } | { readonly refusal: string } {
    const counted = this.countedFor(opened.callId);
    const nowMs = Date.now();
    const refusal =
      tallyDecisions(opened.gate, counted, nowMs) === 'waiting' ? undefined : this.decidedBefore(decision);
    if (refusal !== undefined) return { refusal };
    return judgeDecision(opened.gate, { decision, executionId, counted, nowMs, verify: verifySignature });
  }

  private record(opened: OpenGate, decision: ApprovalDecision, verified: boolean): void {
    this.recorded.push({
      ...decision,
      id: decisionId(this.view.executionId, decision),
      callId: opened.callId,
      receivedAtMs: Date.now(),
      verified,
    });
    for (const tell of opened.changed) tell();
  }

  /** Judges what came before its gate: what fits another digest goes on waiting, what is refused is shown. */
  private judgeEarly(): void {
    for (const decision of [...this.early]) {
      const opened = this.opened(decision.gate).find(({ gate }) => gate.digest === decision.digest);
      if (!opened) continue;
      this.early.splice(this.early.indexOf(decision), 1);
      const judged = this.judge(opened, decision);
      if ('refusal' in judged) this.refuse(decision, judged.refusal);
      else this.record(opened, decision, judged.verified);
    }
  }

  /** Judges anew, by this gate, what people decided in the run that is taken up; what they signed names the run in which they did. */
  private judgeKept(call: LiveCall, gate: Gate, seed: RetrySeed | undefined): void {
    const { callId } = call;
    for (const kept of keptFor(call, seed)) {
      if (!this.isWaiting(callId, gate)) return;
      const judged = this.judge({ callId, gate, changed: [] }, kept, kept.keptFrom?.executionId);
      if ('refusal' in judged) this.refuse(kept, judged.refusal);
      else this.recorded.push({ ...kept, callId, verified: judged.verified });
    }
  }

  private refuse(given: unknown, reason: string): void {
    const { gate, by } = (typeof given === 'object' && given !== null ? given : {}) as {
      readonly [name: string]: unknown;
    };
    this.refused.push({ gate: shortText(gate), by: shortText(by), reason, atMs: Date.now() });
    if (this.refused.length > REFUSED_SHOWN) this.refused.shift();
    this.view.redraw();
  }

  private knows(decision: ApprovalDecision): boolean {
    const id = decisionId(this.view.executionId, decision);
    return (
      this.recorded.some((recorded) => recorded.id === id) ||
      this.early.some((early) => decisionId(this.view.executionId, early) === id)
    );
  }

  /** A gate that was decided takes nothing more, unless it opens again. */
  private decidedBefore({ gate, digest }: ApprovalDecision): string | undefined {
    const last = this.recorded.findLast((recorded) => recorded.gate === gate && recorded.digest === digest);
    return last && `Approval "${gate}" was already decided: ${last.decision} by ${last.by}.`;
  }

  private tooEarly(): string | undefined {
    return this.early.length < EARLY_LIMIT
      ? undefined
      : `${EARLY_LIMIT} decisions wait for gates that have not opened; no more are kept.`;
  }
}

async function openingOf(
  call: LiveCall,
  view: RunView,
  request: { readonly name: string; readonly options: ApprovalRequest },
): Promise<Opening> {
  const starter = request.options.notSelf === true ? claimedStart(view) : undefined;
  return { people: await resolveApprovers(call, { ...request, starter }), openedAtMs: Date.now() };
}

function statusOf(call: LiveCall, gate: Gate) {
  return {
    id: call.callId,
    kind: 'approval',
    name: gate.name,
    attempt: 1,
    startedAtMs: gate.openedAtMs,
  } as const;
}

function shortText(value: unknown): string {
  return typeof value === 'string' ? value.slice(0, 200) : '?';
}
