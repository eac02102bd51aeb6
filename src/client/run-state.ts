import type { WorkflowExecutionInfo } from '@temporalio/client';
import { STATUS_ATTRIBUTE, type RunState } from '../core/run.js';
import { explainStuck, PROBLEMS_ATTRIBUTE } from '../core/stuck.js';

/** What the list of runs and the description of one say about an execution. */
export type ExecutionInfo = Pick<WorkflowExecutionInfo, 'status' | 'searchAttributes'>;

const OPEN: readonly RunState[] = ['queued', 'running', 'paused', 'waiting-for-approval'];

/** Whether a run in this state may still change. */
export function isOpen(state: RunState): boolean {
  return OPEN.includes(state);
}

/** The state of a run: how it ended is the server's word, the rest the run's own (its search attribute). */
export function readRunState({ status, searchAttributes }: ExecutionInfo): RunState {
  const own = attributeText(searchAttributes, STATUS_ATTRIBUTE);
  switch (status.name) {
    case 'COMPLETED':
      return own === 'not-promoted' ? 'not-promoted' : 'completed';
    case 'FAILED':
      return 'failed';
    case 'CANCELLED':
      return 'cancelled';
    case 'TERMINATED':
      return 'terminated';
    case 'TIMED_OUT':
      return 'timed-out';
    case 'UNSPECIFIED':
    case 'RUNNING':
    case 'CONTINUED_AS_NEW':
    case 'PAUSED':
    case 'UNKNOWN':
      return OPEN.find((state) => state === own) ?? (own === undefined ? 'queued' : 'running');
  }
}

/**
 * Why a run cannot go on, in one sentence with the mend, when the server reports that workers fail on it again and again; else
 * `undefined`. The server says so in its own search attribute, after five failures in a row, and takes it back by itself.
 */
export function readStuck({ searchAttributes }: ExecutionInfo): string | undefined {
  return explainStuck((searchAttributes[PROBLEMS_ATTRIBUTE] ?? []).map(String));
}

function attributeText(attributes: ExecutionInfo['searchAttributes'], name: string): string | undefined {
  const value = attributes[name]?.[0];
  return typeof value === 'string' ? value : undefined;
}
