import { parseDuration } from '../core/duration.js';
import type { ApprovalOptions, Approved } from '../pipeline/runtime.js';
import { toFailure } from '../workflows/failures.js';

/** What a person decides in a test. Made by {@link approve} and {@link reject}. */
export interface Decision {
  readonly decision: 'approve' | 'reject';
  readonly by: string;
  readonly comment?: string;
  /** Virtual time after the gate opened. Default: at once. */
  readonly after?: string;
}

/** Somebody approves: `decisions: { promote: approve('ana', { after: '2h' }) }`. */
export function approve(
  by: string,
  options: { readonly comment?: string; readonly after?: string } = {},
): Decision {
  return { decision: 'approve', by, ...options };
}

/** Somebody rejects; the approval fails with `ApprovalRejected`. */
export function reject(
  by: string,
  options: { readonly comment?: string; readonly after?: string } = {},
): Decision {
  return { decision: 'reject', by, ...options };
}

/** Decisions by gate: one for every opening of the gate, or a list for the first, second, ... */
export type Decisions = { readonly [gate: string]: Decision | readonly Decision[] };

/** The decisions of one test, handed out as gates open. */
export class DecisionBook {
  private readonly decisions: Decisions;
  private readonly openings = new Map<string, number>();
  private readonly open = new Set<string>();

  constructor(decisions: Decisions) {
    this.decisions = decisions;
  }

  /** Gates that wait for a decision. */
  waitingFor(): readonly string[] {
    return [...this.open];
  }

  /** Opens a gate and waits, in virtual time, for its decision. @param wait resolves after that many milliseconds, or never. */
  async wait(
    gate: string,
    options: ApprovalOptions,
    wait: (ms: number | undefined) => Promise<void>,
  ): Promise<Approved> {
    const decision = this.next(gate);
    if (decision && options.approvers && !options.approvers.includes(decision.by))
      throw new TypeError(
        `"${decision.by}" may not decide on "${gate}"; these may: ${options.approvers.join(', ')}.`,
      );
    const afterMs = decision && parseDuration(decision.after ?? '0s');
    const expiresMs = options.expires === undefined ? undefined : parseDuration(options.expires);
    this.open.add(gate);
    const inTime = afterMs !== undefined && (expiresMs === undefined || afterMs < expiresMs);
    await wait(inTime ? afterMs : expiresMs);
    this.open.delete(gate);
    if (!decision || !inTime)
      throw toFailure(
        'ApprovalExpired',
        `Approval "${gate}" expired without a decision. Start the run again, or give it more time with expires.`,
      );
    const comment = decision.comment === undefined ? {} : { comment: decision.comment };
    if (decision.decision === 'approve') return { by: decision.by, ...comment };
    throw toFailure(
      'ApprovalRejected',
      `Approval "${gate}" was rejected by ${decision.by}${decision.comment === undefined ? '' : `: ${decision.comment}`}.`,
    );
  }

  private next(gate: string): Decision | undefined {
    const opening = this.openings.get(gate) ?? 0;
    this.openings.set(gate, opening + 1);
    const given = this.decisions[gate];
    return isList(given) ? given[opening] : given;
  }
}

function isList(given: Decision | readonly Decision[] | undefined): given is readonly Decision[] {
  return Array.isArray(given);
}
