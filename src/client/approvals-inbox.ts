import type { PendingApproval } from '../core/run.js';
import type { ClientDeps } from './client-deps.js';
import { listRuns } from './list-runs.js';
import { readStatus } from './read-status.js';

/** One gate of one run that waits. */
export interface WaitingApproval extends PendingApproval {
  readonly runId: string;
  readonly pipeline: string;
}

/** Which gates are listed. */
export interface ApprovalsOptions {
  /** Only those on which this approver may still decide. */
  readonly by?: string;
}

/** Runs that are asked at a time. */
const AT_A_TIME = 8;
/** Runs that are asked in all. */
const RUNS_LIMIT = 500;

/** Every gate of the project that waits for people, the one that waits longest first. @throws AnnealError ServerUnreachable. */
export async function listApprovals(
  deps: ClientDeps,
  { by }: ApprovalsOptions = {},
): Promise<WaitingApproval[]> {
  const runs = await listRuns(deps, { state: 'waiting-for-approval', limit: RUNS_LIMIT });
  const waiting: WaitingApproval[] = [];
  for (let at = 0; at < runs.length; at += AT_A_TIME) {
    const reports = await Promise.all(
      runs.slice(at, at + AT_A_TIME).map(async ({ runId }) => await readStatus(deps, runId)),
    );
    for (const { runId, pipeline, approvals } of reports)
      waiting.push(...approvals.map((approval) => ({ runId, pipeline, ...approval })));
  }
  return waiting
    .filter((approval) => by === undefined || mayDecide(approval, by))
    .sort((a, b) => a.openedAtMs - b.openedAtMs);
}

function mayDecide({ approvers, excluded, decided }: PendingApproval, person: string): boolean {
  return (
    person !== excluded &&
    (approvers === undefined || approvers.includes(person)) &&
    !decided.some(({ by }) => by === person)
  );
}
