import { judgeDecision, tallyDecisions, type Gate, type RecordedDecision } from '../core/approval.js';
import { parseDuration } from '../core/duration.js';
import type { Json } from '../core/json.js';
import type { ApprovalRequest, Approved } from '../pipeline/runtime.js';
import { openGate, outcomeOfGate } from '../workflows/gate.js';

/** What a person decides in a test. Made by {@link approve} and {@link reject}. */
export interface Decision {
  readonly decision: 'approve' | 'reject';
  readonly by: string;
  readonly comment?: string;
  /** Values of the gate's form. */
  readonly form?: { readonly [name: string]: Json };
  /** Virtual time after the gate opened. Default: at once. */
  readonly after?: string;
}

/** Somebody approves: `decisions: { promote: approve('ana', { after: '2h' }) }`. */
export function approve(by: string, options: Pick<Decision, 'comment' | 'form' | 'after'> = {}): Decision {
  return { decision: 'approve', by, ...options };
}

/** Somebody rejects; the approval fails with `ApprovalRejected`. */
export function reject(by: string, options: Pick<Decision, 'comment' | 'after'> = {}): Decision {
  return { decision: 'reject', by, ...options };
}

/**
 * Decisions by gate: one that is made at every opening of the gate, or a list that is used up in order; an opening takes as many of
 * them as its quorum needs.
 */
export type Decisions = { readonly [gate: string]: Decision | readonly Decision[] };

/** The decisions of one test, handed out as gates open. They count as signed. */
export class DecisionBook {
  private readonly decisions: Decisions;
  private readonly used = new Map<string, number>();
  private readonly open = new Set<string>();

  constructor(decisions: Decisions) {
    this.decisions = decisions;
  }

  /** Gates that wait for a decision. */
  waitingFor(): readonly string[] {
    return [...this.open];
  }

  /** Opens a gate and waits, in virtual time, for its decisions. @param wait resolves after that many milliseconds, or never. */
  async wait(
    name: string,
    options: ApprovalRequest,
    wait: (ms: number | undefined) => Promise<void>,
  ): Promise<Approved> {
    const gate = testGate(name, options);
    const counted: RecordedDecision[] = [];
    let nowMs = 0;
    const until = async (ms: number | undefined) => {
      await wait(ms === undefined ? undefined : ms - nowMs);
      nowMs = ms ?? nowMs;
    };
    this.open.add(name);
    while (tallyDecisions(gate, counted, nowMs) === 'waiting') {
      const decision = this.next(name, counted.length);
      const atMs = decision && Math.max(nowMs, parseDuration(decision.after ?? '0s'));
      const expiresAtMs = gate.expiresAtMs ?? Infinity;
      if (!decision || atMs === undefined || atMs >= expiresAtMs) {
        await until(gate.expiresAtMs);
        break;
      }
      await until(atMs);
      counted.push(countDecision(gate, decision, { counted, nowMs }));
    }
    this.open.delete(name);
    return outcomeOfGate(gate, counted, { ...options, nowMs });
  }

  private next(name: string, counted: number): Decision | undefined {
    const given = this.decisions[name];
    if (!isList(given)) return counted === 0 ? given : undefined;
    const used = this.used.get(name) ?? 0;
    this.used.set(name, used + 1);
    return given[used];
  }
}

/** A gate whose names stand for themselves: a test has no anneal.yaml. */
function testGate(name: string, options: ApprovalRequest): Gate {
  const { approvers, escalate, veto } = options;
  const people = (names: readonly string[]) => names.map((person) => ({ name: person, keys: [] }));
  return openGate(name, options, {
    openedAtMs: 0,
    starter: { proven: 'signature' },
    people: {
      ...(approvers === undefined ? {} : { approvers: people(approvers) }),
      ...(escalate === undefined ? {} : { escalateTo: people(escalate.to) }),
      ...(veto === undefined ? {} : { veto }),
    },
  });
}

function countDecision(
  gate: Gate,
  { decision, by, comment, form }: Decision,
  { counted, nowMs }: { readonly counted: readonly RecordedDecision[]; readonly nowMs: number },
): RecordedDecision {
  const made = {
    gate: gate.name,
    digest: gate.digest,
    decision,
    by,
    ...(comment === undefined ? {} : { comment }),
    ...(form === undefined ? {} : { form }),
  };
  const judged = judgeDecision(
    { ...gate, allowUnverified: true },
    { decision: made, executionId: '', counted, nowMs, verify: () => true },
  );
  if ('refusal' in judged) throw new TypeError(judged.refusal);
  return { ...made, id: String(counted.length), callId: '', receivedAtMs: nowMs, verified: true };
}

function isList(given: Decision | readonly Decision[] | undefined): given is readonly Decision[] {
  return Array.isArray(given);
}
