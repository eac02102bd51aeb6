import type { History } from '@temporalio/common/lib/proto-utils.js';
import { pipelinesTaskQueue } from '../core/run.js';
import type { ClientDeps } from './client-deps.js';
import { classifyTemporalError } from './temporal-errors.js';

/** One execution of a run, with everything that happened in it. */
export interface RunHistory {
  readonly runId: string;
  /** Of this execution: a long run has several. */
  readonly epoch: string;
  readonly history: History;
}

/** Executions of the project that are open or ended since a time, open and newest ones first. One that is removed meanwhile is left out. */
export async function* readRunHistories(
  { temporal, project }: Pick<ClientDeps, 'temporal' | 'project'>,
  { sinceMs, limit }: { readonly sinceMs: number; readonly limit: number },
): AsyncGenerator<RunHistory> {
  const ended = `CloseTime > '${new Date(sinceMs).toISOString()}'`;
  const query = `TaskQueue = '${pipelinesTaskQueue(project)}' AND (ExecutionStatus = 'Running' OR ${ended})`;
  let seen = 0;
  for await (const { workflowId, runId } of temporal.workflow.list({ query, pageSize: 200 })) {
    if (seen++ >= limit) return;
    try {
      const history = await temporal.workflow.getHandle(workflowId, runId).fetchHistory();
      yield { runId: workflowId, epoch: runId, history };
    } catch (error) {
      if (classifyTemporalError(error) !== 'not-found') throw error;
    }
  }
}
