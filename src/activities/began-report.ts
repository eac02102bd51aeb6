import type { AttemptBegan } from '../core/budget.js';
import type { AttemptRequest } from '../core/attempt.js';
import type { ActivityContext, Clock } from './ports/activity-context.js';
import type { AttemptProgress } from './ports/executor.js';

/** What {@link createBeganReport} stands on. */
export interface BeganReportDeps {
  /** Tells an execution that has a budget; absent: nobody is told. */
  readonly tellBegan?: (
    execution: { readonly workflowId: string; readonly runId: string },
    began: AttemptBegan,
  ) => Promise<void>;
  readonly clock: Pick<Clock, 'nowMs'>;
}

/** An attempt that is over sooner is counted by its outcome alone: nothing is sent for it. */
export const REPORT_AFTER_MS = 5_000;
const AGAIN_AFTER_MS = 5_000;

/** Tells a run with a budget that its attempt runs, and so costs. Sent again until the run has it, and by each worker that takes the attempt over. */
export function createBeganReport(
  { tellBegan, clock }: BeganReportDeps,
  { context, request }: { readonly context: ActivityContext; readonly request: AttemptRequest },
) {
  const { workflowId, epoch: runId } = context;
  const { callId, attempt } = request;
  let timer: NodeJS.Timeout | undefined;
  let over = request.tellsBegan !== true;
  const send = async (startedAtMs: number) => {
    try {
      await tellBegan?.({ workflowId, runId }, { callId, attempt, startedAtMs });
    } catch {
      if (!over) timer = setTimeout(() => void send(startedAtMs), AGAIN_AFTER_MS);
    }
  };
  return {
    see: ({ phase, sinceMs }: Pick<AttemptProgress, 'phase' | 'sinceMs'>) => {
      if (over || timer || (phase !== 'running' && phase !== 'uploading')) return;
      timer = setTimeout(() => void send(sinceMs), Math.max(0, sinceMs + REPORT_AFTER_MS - clock.nowMs()));
    },
    stop: () => {
      over = true;
      clearTimeout(timer);
    },
  };
}
