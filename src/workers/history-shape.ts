import type { History } from '@temporalio/common/lib/proto-utils.js';

/** What a history shows of its run. */
export interface HistoryOrigin {
  readonly pipeline: string;
  readonly workflowId: string;
  readonly runId: string;
  /** What the run did, and how it stands: `churn-training: prepare, train, approval go-live; completed`. */
  readonly shape: string;
}

/** Reads which run a history is of, and what kind of run that was: two runs of one shape broke or did not break for one reason. */
export function readHistory(history: History): HistoryOrigin {
  const events = history.events ?? [];
  const started = events[0]?.workflowExecutionStartedEventAttributes;
  const pipeline = started?.workflowType?.name ?? '?';
  const did = new Set<string>();
  for (const event of events) did.add(doneIn(event));
  const names = [...did].filter((name) => name !== '');
  const shown = names.length > SHOWN ? [...names.slice(0, SHOWN), `${names.length - SHOWN} more`] : names;
  const continued = started?.continuedExecutionRunId ? 'continued, ' : '';
  return {
    pipeline,
    workflowId: started?.workflowId ?? '',
    runId: started?.originalExecutionRunId ?? '',
    shape: `${pipeline}: ${shown.join(', ') || 'nothing'}; ${continued}${endOf(history)}`,
  };
}

type HistoryEvent = NonNullable<History['events']>[number];

/** What an event shows of what a run did, in a few words; nothing for most. */
function doneIn(event: HistoryEvent): string {
  const summary = summaryOf(event.userMetadata?.summary?.data);
  const activity = event.activityTaskScheduledEventAttributes?.activityType?.name;
  if (activity === 'runTask') return summary || activity;
  if (activity === 'executeAttempt') return summary.replace(/, attempt \d+$/, '');
  if (activity) return OWN_ACTIVITIES.has(activity) ? '' : activity;
  if (event.timerStartedEventAttributes) return summary.startsWith('approval ') ? summary : '';
  if (event.workflowExecutionUpdateAcceptedEventAttributes) return 'a decision or command';
  return event.startChildWorkflowExecutionInitiatedEventAttributes?.workflowType?.name ?? '';
}

const SHOWN = 12;
/** Activities that every run has. */
const OWN_ACTIVITIES: ReadonlySet<string> = new Set([
  'snapshotRun',
  'openTracking',
  'closeRun',
  'closeCalls',
  'notify',
  'recordNotification',
  'askCache',
  'awaitCache',
  'resolveApprovers',
  'announceApproval',
]);

function endOf({ events }: History): string {
  const last = events?.at(-1);
  if (last?.workflowExecutionCompletedEventAttributes) return 'completed';
  if (last?.workflowExecutionFailedEventAttributes) return 'failed';
  if (last?.workflowExecutionCanceledEventAttributes) return 'cancelled';
  if (last?.workflowExecutionTerminatedEventAttributes) return 'terminated';
  if (last?.workflowExecutionTimedOutEventAttributes) return 'timed out';
  if (last?.workflowExecutionContinuedAsNewEventAttributes) return 'goes on in a new execution';
  return 'open';
}

/** A summary is a JSON text. */
function summaryOf(data: Uint8Array | null | undefined): string {
  if (!data) return '';
  try {
    return String(JSON.parse(new TextDecoder().decode(data)));
  } catch {
    return '';
  }
}
