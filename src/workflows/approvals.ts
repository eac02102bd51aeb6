import { CancellationScope, isCancellation } from '@temporalio/workflow';
import {
  decisionId,
  expiredText,
  judgeDecision,
  plainDecision,
  problemOfShape,
  tallyDecisions,
  type ApprovalDecision,
  type Gate,
  type RecordedDecision,
  type RefusedDecision,
  type SignatureVerifier,
} from '../core/approval.js';
import type { ApprovalRequest, Approved } from '../pipeline/runtime.js';
import { announceGate, resolveApprovers, type Announced } from './announce-gate.js';
import type { CarriedDecisions } from './continuation.js';
import { toFailure } from './failures.js';
import { claimedStart } from './claimed-start.js';
import { untilDecided } from './gate-wait.js';
import { describeGate, openGate, outcomeOfGate, statusOfGate, type Opening } from './gate.js';
import type { LiveCall } from './live-call.js';
import type { RunContext } from './run-context.js';
import { howApproved, keptFor, problemOfOtherKept } from './kept-decisions.js';
import type { RunView } from './run-state.js';
import type { CallStatus } from '../core/run.js';
import type { RetrySeed } from '../core/run-control.js';
import { endOfGate } from '../core/gate-record.js';
import { EarlyDecisions } from './early-decisions.js';
import { GateRecords } from './gate-records.js';

interface OpenGate {
  readonly callId: string;
  readonly gate: Gate;
  /** Called after each decision. */
  readonly changed: readonly (() => void)[];
}

/** Refused signals that are shown. */
const REFUSED_SHOWN = 10;

/** Decisions of people: those for an open gate are judged at once, those that come before it opens are kept until it does. */
export class Approvals {
  private readonly view: RunView;
  /** By the call that waits: one gate name may wait for several subjects. */
  private readonly open = new Map<string, OpenGate>();
  private readonly early: EarlyDecisions;
  private readonly recorded: RecordedDecision[];
  private readonly refused: RefusedDecision[];
  private readonly gates: GateRecords;
  private readonly verify: SignatureVerifier;

  /** @param verify asked by validators: it answers at once, and the same on every replay. */
  constructor(
    view: RunView,
    {
      carried,
      verify,
    }: { readonly carried: CarriedDecisions | undefined; readonly verify: SignatureVerifier },
  ) {
    this.view = view;
    this.verify = verify;
    this.early = new EarlyDecisions(carried?.early, { executionId: view.executionId, verify });
    this.recorded = [...(carried?.recorded ?? [])];
    this.refused = [...(carried?.refused ?? [])];
    this.gates = new GateRecords(carried?.gates);
    view.decisions = this.recorded;
    view.refusedDecisions = this.refused;
    view.gates = this.gates.shown;
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
    if (!asked) return this.decidedBefore(decision) ?? this.early.refusal(decision);
    const judged = this.judge(asked, decision);
    return 'refusal' in judged ? judged.refusal : undefined;
  }

  /** Takes a decision that was not refused. @throws InvalidInput where another one came first. */
  accept(sent: ApprovalDecision): 'recorded' | 'kept until the gate opens' {
    const decision = plainDecision(sent);
    const waiting = this.opened(decision.gate).find(({ gate }) => gate.digest === decision.digest);
    if (this.knows(decision)) return waiting ? 'recorded' : 'kept until the gate opens';
    if (!waiting) {
      this.early.keep(decision);
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
    const { early, recorded, refused, gates } = this;
    return { early: early.all, recorded, refused, gates: gates.shown };
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
      this.gates.escalated(call.callId, gate);
      if (tallyDecisions(gate, this.countedFor(call.callId), Date.now()) === 'waiting')
        this.view.openApproval(
          call.callId,
          describeGate(gate, this.countedFor(call.callId), options.subject.uri),
        );
    };
    this.gates.opened(call.callId, gate);
    this.watch(call.callId, gate, [show]);
    if (!call.pending?.gate) this.judgeKept(call, gate, context.seed);
    this.judgeEarly();
    this.view.put({ ...statusOfGate(call.callId, gate), state: 'waiting' });
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
      return this.endGate(call, gate, { options, seed: context.seed });
    } catch (error) {
      const cancelled = isCancellation(error);
      if (cancelled) this.gates.ended(call.callId, gate, { atMs: Date.now(), outcome: 'cancelled' });
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

  private endGate(
    call: LiveCall,
    gate: Gate,
    { options, seed }: { readonly options: ApprovalRequest; readonly seed: RetrySeed | undefined },
  ): Approved {
    const counted = this.countedFor(call.callId);
    const atMs = Date.now();
    const onExpiry = typeof options.expires === 'object' ? options.expires.outcome : 'fail';
    this.gates.ended(call.callId, gate, endOfGate(gate, counted, { atMs, onExpiry }));
    const outcome = outcomeOfGate(gate, counted, { ...options, nowMs: atMs });
    this.settle(call, gate, howApproved(outcome.by, counted, seed));
    return outcome;
  }

  private watch(callId: string, gate: Gate, changed: readonly (() => void)[]): void {
    this.open.set(callId, { callId, gate, changed });
  }

  private settle(call: LiveCall, gate: Gate, end: Pick<CallStatus, 'state' | 'detail' | 'cachedFrom'>): void {
    this.view.put({ ...statusOfGate(call.callId, gate), ...end, endedAtMs: Date.now() });
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
    return judgeDecision(opened.gate, { decision, executionId, counted, nowMs, verify: this.verify });
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
    const openedFor = ({ gate: name, digest }: ApprovalDecision) =>
      this.opened(name).find(({ gate }) => gate.digest === digest);
    for (const decision of this.early.take((early) => openedFor(early) !== undefined)) {
      const opened = openedFor(decision);
      if (!opened) continue;
      const judged = this.judge(opened, decision);
      if ('refusal' in judged) this.refuse(decision, judged.refusal);
      else this.record(opened, decision, judged.verified);
    }
  }

  /** Judges anew, by this gate, what people decided in the run that is taken up; what they signed names the run in which they did. */
  private judgeKept(call: LiveCall, gate: Gate, seed: RetrySeed | undefined): void {
    const { callId } = call;
    const keptHere = keptFor(call, seed);
    const stale = keptHere.length > 0 ? undefined : problemOfOtherKept(gate, seed, this.recorded);
    if (stale) this.refuse({ gate: gate.name, by: stale.by }, stale.reason);
    for (const kept of keptHere) {
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
    return this.recorded.some((recorded) => recorded.id === id) || this.early.has(decision);
  }

  /** A gate that was decided, or expired, takes nothing more, unless it opens again. */
  private decidedBefore({ gate, digest }: ApprovalDecision): string | undefined {
    const expiredAtMs = this.gates.expiredAtMs(gate, digest);
    if (expiredAtMs !== undefined) return expiredText(gate, expiredAtMs);
    const last = this.recorded.findLast((recorded) => recorded.gate === gate && recorded.digest === digest);
    return last && `Approval "${gate}" was already decided: ${last.decision} by ${last.by}.`;
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

function shortText(value: unknown): string {
  return typeof value === 'string' ? value.slice(0, 200) : '?';
}
