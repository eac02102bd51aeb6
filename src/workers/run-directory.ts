import type { Client, WorkflowExecutionDescription, WorkflowExecutionInfo } from '@temporalio/client';
import { WorkflowNotFoundError } from '@temporalio/client';
import type { EndedRun, RunAnswer, RunDirectory, StuckRun } from '../activities/ports/run-directory.js';
import type { Journal } from '../core/journal.js';
import { JOURNAL_QUERY } from '../core/run-control.js';
import { pipelinesTaskQueue, STATUS_QUERY, type RunState, type RunStatus } from '../core/run.js';
import { explainStuck, PROBLEMS_ATTRIBUTE } from '../core/stuck.js';

/** Time that a worker has to replay an ended run and to answer for it. */
const QUERY_TIMEOUT_MS = 10_000;
/** Runs that are looked at for the last one that says something. */
const LOOKED_AT = 20;

/** Temporal as {@link RunDirectory} of one project. */
export function createRunDirectory(client: Client, project: string): RunDirectory {
  const { workflow } = client;
  const ofProject = `TaskQueue = '${pipelinesTaskQueue(project)}'`;
  return {
    listEnded: async function* (sinceMs) {
      const since = new Date(sinceMs).toISOString();
      const query = `${ofProject} AND ExecutionStatus IN ('Terminated', 'TimedOut', 'Failed', 'Canceled') AND CloseTime >= '${since}'`;
      for await (const found of workflow.list({ query })) {
        const run = await readEnd(client, found);
        if (run !== undefined) yield run;
      }
    },
    listEnds: async function* (pipeline, sinceMs) {
      const since = new Date(sinceMs).toISOString();
      const query = `${ofProject} AND WorkflowType = '${pipeline}' AND ExecutionStatus NOT IN ('Running', 'ContinuedAsNew') AND CloseTime >= '${since}'`;
      for await (const found of workflow.list({ query })) {
        const run = await readEnd(client, found);
        if (run !== undefined) yield run;
      }
    },
    ask: async ({ runId, epoch }) => await ask(client, { runId, epoch }),
    readReason: async ({ runId, epoch }) => await readReason(client, { runId, epoch }),
    listStuck: async () => {
      const query = `${ofProject} AND ExecutionStatus = 'Running' AND ${PROBLEMS_ATTRIBUTE} IS NOT NULL`;
      const stuck: StuckRun[] = [];
      for await (const found of workflow.list({ query })) {
        const why = explainStuck((found.searchAttributes[PROBLEMS_ATTRIBUTE] ?? []).map(String));
        if (why !== undefined) stuck.push({ ...(await identify(client, found)), why });
      }
      return stuck;
    },
    lastFailed: async (pipeline) => {
      const query = `${ofProject} AND WorkflowType = '${pipeline}' AND ExecutionStatus NOT IN ('Running', 'ContinuedAsNew', 'Canceled')`;
      let seen = 0;
      for await (const found of workflow.list({ query, pageSize: LOOKED_AT })) {
        // What a reset ended was no run's end.
        if ((await readEnd(client, found)) !== undefined) return found.status.name !== 'COMPLETED';
        if (++seen >= LOOKED_AT) break;
      }
      return false;
    },
  };
}

/** The run that this execution was the end of; none where another execution of the run came after it. */
async function readEnd(client: Client, found: WorkflowExecutionInfo): Promise<EndedRun | undefined> {
  const state = STATES[found.status.name];
  if (state === undefined || found.closeTime === undefined) return undefined;
  try {
    const identity = await identify(client, found);
    const newest = await client.workflow.getHandle(found.workflowId).describe();
    // A later run may have taken the id: then this one ended all the same.
    if (newest.runId !== found.runId && firstRunId(newest) === identity.executionId) return undefined;
    return { ...identity, state, endedAtMs: found.closeTime.getTime() };
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return undefined;
    throw error;
  }
}

const STATES: { readonly [status: string]: RunState } = {
  COMPLETED: 'completed',
  FAILED: 'failed',
  TERMINATED: 'terminated',
  TIMED_OUT: 'timed-out',
  CANCELLED: 'cancelled',
};

async function identify(
  client: Client,
  found: WorkflowExecutionInfo,
): Promise<Omit<EndedRun, 'state' | 'endedAtMs'>> {
  const described = await client.workflow.getHandle(found.workflowId, found.runId).describe();
  return {
    runId: found.workflowId,
    epoch: found.runId,
    executionId: firstRunId(described),
    pipeline: found.type,
    startedAtMs: found.startTime.getTime(),
  };
}

/** Older servers do not name the chain: then the execution stands for it. */
function firstRunId({ raw, runId }: WorkflowExecutionDescription): string {
  const first = raw.workflowExecutionInfo?.firstRunId;
  return typeof first === 'string' && first !== '' ? first : runId;
}

interface Execution {
  readonly runId: string;
  readonly epoch: string;
}

/** A worker of the run's build replays its history and answers, also when it is closed. */
async function ask(client: Client, { runId, epoch }: Execution): Promise<RunAnswer | undefined> {
  const handle = client.workflow.getHandle(runId, epoch);
  const query = async <T>(name: string) =>
    await client.withDeadline(Date.now() + QUERY_TIMEOUT_MS, async () => await handle.query<T>(name));
  try {
    const status = await query<RunStatus>(STATUS_QUERY);
    const journal = await query<Journal | null>(JOURNAL_QUERY).catch(() => null);
    return { status, ...(journal && { journal }) };
  } catch {
    return undefined;
  }
}

async function readReason(client: Client, { runId, epoch }: Execution): Promise<string | undefined> {
  const { history } = await client.workflowService.getWorkflowExecutionHistoryReverse({
    namespace: client.options.namespace,
    execution: { workflowId: runId, runId: epoch },
    maximumPageSize: 1,
  });
  return history?.events?.[0]?.workflowExecutionTerminatedEventAttributes?.reason ?? undefined;
}
