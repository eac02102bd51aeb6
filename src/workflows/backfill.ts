import {
  ActivityCancellationType,
  allHandlersFinished,
  CancellationScope,
  ChildWorkflowCancellationType,
  condition,
  getExternalWorkflowHandle,
  isCancellation,
  log,
  makeContinueAsNewFunc,
  ParentClosePolicy,
  proxyActivities,
  setCurrentDetails,
  startChild,
  workflowInfo,
  WorkflowIdReusePolicy,
} from '@temporalio/workflow';
import { WorkflowExecutionAlreadyStartedError } from '@temporalio/common';
import type { SystemActivities } from '../core/activities.js';
import type { BackfillProgress, BackfillState } from '../core/backfill.js';
import { pipelinesTaskQueue } from '../core/run.js';
import { handleBackfillMessages } from './backfill-messages.js';
import { BackfillWork, type PlannedPartition } from './backfill-work.js';
import { readFailure } from './failures.js';

/** Partitions that are planned in one go: enough for the next ones not to wait, few enough for code that changes meanwhile to count. */
const PLANNED_AT_ONCE = 100;

/**
 * Makes the partitions of a pipeline, so many at once. Each is a child with an id made from its key, which an end of this workflow does
 * not end: after continuing as new, those under way are watched.
 */
export async function backfill(state: BackfillState): Promise<BackfillProgress> {
  const work = new BackfillWork(state);
  handleBackfillMessages(work);
  const { cancelRequested } = CancellationScope.current();
  void cancelRequested.catch(() => work.cancel());
  return await CancellationScope.nonCancellable(async () => await makeAll(work));
}

async function makeAll(work: BackfillWork): Promise<BackfillProgress> {
  let planning = false;
  void watch(work);
  for (;;) {
    setCurrentDetails(detailsOf(work.progress()));
    if (work.cancelling) await endRunning(work);
    while (work.mayStart()) void make(work, work.takePlanned());
    if (work.wantsPlan() && !planning && !shouldContinue(work)) {
      planning = true;
      void plan(work).finally(() => {
        planning = false;
        work.touch();
      });
    }
    if (!planning && work.starting === 0) {
      if (work.isDone()) break;
      if (shouldContinue(work)) {
        await condition(allHandlersFinished);
        await makeContinueAsNewFunc<typeof backfill>()(work.carried());
      }
    }
    const seen = work.changes;
    await condition(() => work.changes !== seen);
  }
  await condition(allHandlersFinished);
  setCurrentDetails(detailsOf(work.progress()));
  return work.progress();
}

function shouldContinue({ state }: BackfillWork): boolean {
  const { historyLength, continueAsNewSuggested } = workflowInfo();
  return state.continueAfterEvents === undefined
    ? continueAsNewSuggested
    : historyLength > state.continueAfterEvents;
}

/** Asks which of the next partitions are made already, and for run ids of the others. */
async function plan(work: BackfillWork): Promise<void> {
  const batch = work.takeBatch(PLANNED_AT_ONCE);
  if (batch === undefined) return;
  const { planPartitions } = proxyActivities<SystemActivities>({
    startToCloseTimeout: '10m',
    heartbeatTimeout: '20s',
    retry: { maximumInterval: '30s' },
    summary: `look which of ${batch.keys.length} partitions are made`,
  });
  const { pipeline } = work.state;
  const plans = await planPartitions({ pipeline, ...batch });
  work.planned(plans, batch);
}

async function make(work: BackfillWork, partition: PlannedPartition): Promise<void> {
  const { key, runId, params } = partition;
  const { project, pipeline, parameter } = work.state;
  if (partition.action === 'watch') {
    work.begin(partition, { watched: true });
    return;
  }
  work.begin(partition, { watched: false });
  try {
    work.starting++;
    const child = await startChild(pipeline, {
      workflowId: runId,
      taskQueue: pipelinesTaskQueue(project),
      args: [{ ...params, [parameter]: key }],
      parentClosePolicy: ParentClosePolicy.ABANDON,
      cancellationType: ChildWorkflowCancellationType.ABANDON,
      workflowIdReusePolicy: WorkflowIdReusePolicy.REJECT_DUPLICATE,
      staticSummary: `${pipeline} ${key}`.slice(0, 200),
    }).finally(() => work.starting--);
    work.confirm(runId);
    await child.result();
    work.end({ runId });
  } catch (error) {
    // Somebody started it since it was planned.
    if (error instanceof WorkflowExecutionAlreadyStartedError) work.planAgain(partition);
    else work.end({ runId, code: isCancellation(error) ? 'cancelled' : readFailure(error).code });
  }
}

/**
 * Waits for runs that an earlier execution of this workflow started, or somebody else. One that comes to be watched meanwhile is waited
 * for with the others at once: they may take days.
 */
async function watch(work: BackfillWork): Promise<void> {
  const { awaitRuns } = proxyActivities<SystemActivities>({
    startToCloseTimeout: '30d',
    heartbeatTimeout: '20s',
    cancellationType: ActivityCancellationType.TRY_CANCEL,
    retry: { maximumInterval: '30s' },
    summary: 'wait for partitions under way',
  });
  for (;;) {
    await condition(() => work.watched().length > 0);
    const runIds = work.watched();
    const waiting = new CancellationScope();
    const hasMore = () => work.watched().some((runId) => !runIds.includes(runId));
    const ended = waiting.run(async () => await awaitRuns({ runIds }));
    await Promise.race([ended, waiting.run(async () => await condition(hasMore))]);
    waiting.cancel();
    // What a look that was interrupted would have told, the next one tells.
    for (const end of await ended.catch(() => [])) work.end(end);
  }
}

/** Once for each: what is under way ends with its own clean-up. */
async function endRunning(work: BackfillWork): Promise<void> {
  for (const runId of work.takeToCancel()) {
    try {
      await getExternalWorkflowHandle(runId).cancel();
    } catch (error) {
      log.info('a run of the backfill could not be cancelled', { runId, error: String(error) });
    }
  }
}

function detailsOf(progress: BackfillProgress): string {
  const { state, total, made, skipped, running, waiting, failed } = progress;
  const lines = [
    `${state}: ${made + skipped} of ${total} partitions (${skipped} were made before), ${running.length} under way, ${waiting} wait, ${failed.length} failed`,
    ...running.slice(0, 20).map(({ key, runId }) => `- ${key}: ${runId}`),
    ...failed.slice(0, 20).map(({ key, runId, code }) => `- ${key}: ${code}, ${runId}`),
  ];
  return lines.join('\n');
}
