import type { ResolvedApprovers } from '../core/activities.js';
import type { Gate, RecordedDecision } from '../core/approval.js';
import { decidersOf, formValues, tallyDecisions } from '../core/approval.js';
import { parseDuration } from '../core/duration.js';
import type { PendingApproval } from '../core/run.js';
import type { ApprovalRequest, Approved } from '../pipeline/runtime.js';
import type { Starter } from '../core/run-starter.js';
import { toFailure } from './failures.js';

/** What is known when a gate opens. */
export interface Opening {
  readonly people: ResolvedApprovers;
  readonly openedAtMs: number;
  /** Who started the run; known where they may not decide. */
  readonly starter?: Starter;
}

/** Fixes what a gate is at the moment in which it opens. @throws InvalidInput for a gate that nobody could decide. */
export function openGate(
  name: string,
  request: ApprovalRequest,
  { people, openedAtMs, starter = people.starter ?? {} }: Opening,
): Gate {
  const { expires, escalate, quorum = 1, allowUnverified = false } = request;
  const { approvers, escalateTo, veto } = people;
  const after = typeof expires === 'string' ? expires : expires?.after;
  // Whoever started it, at least `quorum` of one more person than that are others. Where nothing is verified, names prove nothing at all.
  const unproven = request.notSelf === true && starter.proven === undefined && !allowUnverified;
  const gate: Gate = {
    name,
    digest: request.subject.digest,
    openedAtMs,
    quorum: unproven ? quorum + 1 : quorum,
    ...(unproven ? { startUnproven: true } : {}),
    allowUnverified,
    form: request.form,
    ...(after === undefined ? {} : { expiresAtMs: openedAtMs + parseDuration(after) }),
    ...(approvers === undefined ? {} : { approvers }),
    ...(escalate === undefined || escalateTo === undefined
      ? {}
      : { escalation: { atMs: openedAtMs + parseDuration(escalate.after), approvers: escalateTo } }),
    ...(request.notSelf === true && !unproven && starter.name !== undefined
      ? { excluded: starter.name }
      : {}),
    ...(veto === undefined ? {} : { veto }),
  };
  checkGate(gate);
  return gate;
}

function checkGate(gate: Gate): void {
  const { name, quorum } = gate;
  const wrong = (problem: string) => toFailure('InvalidInput', `Approval "${name}" ${problem}`);
  if (!Number.isInteger(quorum) || quorum < 1)
    throw wrong(`has quorum ${quorum}; it must be a whole number of at least 1.`);
  const people = decidersOf(gate, Infinity)?.filter(({ name: person }) => person !== gate.excluded);
  if (people && people.length < quorum)
    throw wrong(
      `needs ${quorum} approvals, but only ${people.length} ${people.length === 1 ? 'person' : 'people'} may give one${whyOf(gate)}. Name more approvers, or lower the quorum.`,
    );
}

function whyOf({ excluded, startUnproven }: Gate): string {
  if (startUnproven === true)
    return ' (one more than its quorum is needed, since nothing proves who started the run: anneal run --sign)';
  return excluded === undefined ? '' : ` ("${excluded}" started the run)`;
}

/** What happens next at a gate that nobody decides: it expires, others are asked too, or people are told again. */
export function nextMoment(
  gate: Gate,
  { remindEvery }: Pick<ApprovalRequest, 'remindEvery'>,
  nowMs: number,
): { readonly atMs: number; readonly what: 'expired' | 'escalated' | 'reminder' } | undefined {
  const everyMs = remindEvery === undefined ? undefined : parseDuration(remindEvery);
  const escalatesAtMs = gate.escalation && nowMs < gate.escalation.atMs ? gate.escalation.atMs : Infinity;
  const reminderAtMs =
    everyMs === undefined
      ? Infinity
      : gate.openedAtMs + everyMs * (Math.floor((nowMs - gate.openedAtMs) / everyMs) + 1);
  const expiresAtMs = gate.expiresAtMs ?? Infinity;
  const atMs = Math.min(expiresAtMs, escalatesAtMs, reminderAtMs);
  if (atMs === Infinity) return undefined;
  return { atMs, what: atMs === expiresAtMs ? 'expired' : atMs === escalatesAtMs ? 'escalated' : 'reminder' };
}

/** A gate as people see it. */
export function describeGate(gate: Gate, counted: readonly RecordedDecision[], uri: string): PendingApproval {
  const { escalation } = gate;
  const people = decidersOf(gate, Date.now());
  return {
    gate: gate.name,
    digest: gate.digest,
    subjectUri: uri,
    openedAtMs: gate.openedAtMs,
    quorum: gate.quorum,
    allowUnverified: gate.allowUnverified,
    decided: counted.map(({ by, decision, verified, comment }) => ({
      by,
      decision,
      verified,
      ...(comment === undefined ? {} : { comment }),
    })),
    ...(gate.expiresAtMs === undefined ? {} : { expiresAtMs: gate.expiresAtMs }),
    ...(people === undefined ? {} : { approvers: people.map(({ name }) => name) }),
    ...(escalation === undefined
      ? {}
      : { escalation: { atMs: escalation.atMs, approvers: escalation.approvers.map(({ name }) => name) } }),
    ...(gate.excluded === undefined ? {} : { excluded: gate.excluded }),
    ...(gate.startUnproven === undefined ? {} : { startUnproven: gate.startUnproven }),
    ...(Object.keys(gate.form).length === 0 ? {} : { form: gate.form }),
  };
}

/** The call of a gate, as the run's status lists it. */
export function statusOfGate(callId: string, { name, openedAtMs }: Gate) {
  return { id: callId, kind: 'approval', name, attempt: 1, startedAtMs: openedAtMs } as const;
}

/** What a gate that no longer waits gives. @throws ApprovalRejected, ApprovalExpired. */
export function outcomeOfGate(
  gate: Gate,
  counted: readonly RecordedDecision[],
  { expires, nowMs }: Pick<ApprovalRequest, 'expires'> & { readonly nowMs: number },
): Approved {
  const { name } = gate;
  const onExpiry = typeof expires === 'object' ? expires.outcome : 'fail';
  const approvals = counted.filter(({ decision }) => decision === 'approve');
  switch (tallyDecisions(gate, counted, nowMs)) {
    case 'approved':
      return approved(gate, approvals);
    case 'rejected': {
      const rejections = counted.filter(({ decision }) => decision === 'reject');
      const who = rejections
        .map(({ by, comment }) => (comment === undefined ? by : `${by}: ${comment}`))
        .join('; ');
      throw toFailure('ApprovalRejected', `Approval "${name}" was rejected by ${who}.`);
    }
    case 'waiting': {
      if (onExpiry === 'approve') return { ...approved(gate, approvals), by: 'expiry', verified: false };
      if (onExpiry === 'reject')
        throw toFailure(
          'ApprovalRejected',
          `Approval "${name}" expired without ${neededText(gate)}, which counts as rejected.`,
        );
      throw toFailure(
        'ApprovalExpired',
        `Approval "${name}" expired without ${neededText(gate)}. Start the run again, or give it more time with expires.`,
      );
    }
  }
}

function approved(gate: Gate, approvals: readonly RecordedDecision[]): Approved {
  const last = approvals.at(-1);
  return {
    by: last?.by ?? '',
    approvedBy: approvals.map(({ by }) => by),
    verified: approvals.every(({ verified }) => verified),
    form: formValues(gate, last?.form),
    ...(last?.comment === undefined ? {} : { comment: last.comment }),
  };
}

function neededText({ quorum }: Gate): string {
  return quorum === 1 ? 'a decision' : `${quorum} approvals`;
}
