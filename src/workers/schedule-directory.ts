import type { Client, ScheduleDescription, WorkflowExecutionInfo } from '@temporalio/client';
import type { ScheduleDirectory } from '../activities/ports/schedule-directory.js';
import type { ScheduledRun, ScheduleView } from '../core/schedule-account.js';
import type { ScheduleDefinition } from '../core/schedule-definition.js';
import { DEFINITION_MEMO, DIGEST_MEMO, OWNER_MEMO, scheduleIdOf } from '../core/schedule-memos.js';

const DAY_MS = 86_400_000;

/** Temporal as {@link ScheduleDirectory} of one project. */
export function createScheduleDirectory(client: Client, project: string): ScheduleDirectory {
  const prefix = scheduleIdOf(project, '');
  return {
    listSchedules: async () => {
      const views: ScheduleView[] = [];
      for await (const { scheduleId, memo } of client.schedule.list()) {
        if (!scheduleId.startsWith(prefix) || memo?.[OWNER_MEMO] !== project) continue;
        // One that is being removed is none any more.
        const found = await client.schedule
          .getHandle(scheduleId)
          .describe()
          .catch(() => undefined);
        if (found !== undefined) views.push(readView(found, scheduleId.slice(prefix.length)));
      }
      return views;
    },
    listRuns: async (scheduleId, sinceMs) => {
      const since = `'${new Date(sinceMs).toISOString()}'`;
      const query = `TemporalScheduledById = '${scheduleId}' AND (StartTime >= ${since} OR CloseTime >= ${since} OR ExecutionStatus = 'Running')`;
      const runs = new Map<string, ScheduledRun>();
      for await (const found of client.workflow.list({ query })) {
        const run = readRun(found, runs.get(found.workflowId));
        if (run !== undefined) runs.set(found.workflowId, run);
      }
      return [...runs.values()];
    },
    readRetentionMs: async () => {
      const { config } = await client.workflowService.describeNamespace({
        namespace: client.options.namespace,
      });
      const seconds = Number(config?.workflowExecutionRetentionTtl?.seconds ?? 0);
      return seconds > 0 ? seconds * 1_000 : DAY_MS;
    },
  };
}

function readView(
  { action, info, raw, state, scheduleId }: ScheduleDescription,
  pipeline: string,
): ScheduleView {
  const definition = action.memo?.[DEFINITION_MEMO] as ScheduleDefinition | undefined;
  const { lastUpdatedAt } = info;
  const number = (value: unknown) => Number(value ?? 0);
  return {
    ...{ scheduleId, pipeline },
    ...(definition === undefined ? {} : { definition }),
    digest: String(action.memo?.[DIGEST_MEMO] ?? ''),
    createdAtMs: info.createdAt.getTime(),
    ...(lastUpdatedAt === undefined ? {} : { updatedAtMs: lastUpdatedAt.getTime() }),
    paused: state.paused,
    ...(state.note === undefined || state.note === '' ? {} : { note: state.note }),
    counts: {
      overlap: info.numActionsSkippedOverlap,
      missed: info.numActionsMissedCatchupWindow,
      dropped: number(raw.info?.bufferDropped),
    },
    buffered: number(raw.info?.bufferSize),
  };
}

/** Executions of one run (continued as new, reset) are one run, open while one of them is. */
function readRun(found: WorkflowExecutionInfo, known: ScheduledRun | undefined): ScheduledRun | undefined {
  const [scheduled] = found.searchAttributes['TemporalScheduledStartTime'] ?? [];
  if (!(scheduled instanceof Date)) return undefined;
  const { startTime, closeTime } = found;
  const startedAtMs = Math.min(startTime.getTime(), known?.startedAtMs ?? Infinity);
  const isOpen = closeTime === undefined || (known !== undefined && known.endedAtMs === undefined);
  const endedAtMs = Math.max(closeTime?.getTime() ?? 0, known?.endedAtMs ?? 0);
  const atMs = Math.floor(scheduled.getTime() / 1_000) * 1_000;
  return { runId: found.workflowId, atMs, startedAtMs, ...(isOpen ? {} : { endedAtMs }) };
}
