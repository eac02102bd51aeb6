import type { Executions } from './ports/executions.js';

/** The two ways in which an attempt's activity can be told to stop. */
export interface AttemptSignals {
  /** End the attempt. */
  readonly cancelled: AbortSignal;
  /** Leave it to whoever adopts it. */
  readonly detached: AbortSignal;
}

/**
 * Sorts Temporal's reasons for cancelling an activity. Only `CANCELLED` ends the attempt. `NOT_FOUND` and `TIMED_OUT` also reach a worker
 * that was stopped for a minute while its successor adopted the attempt, so they end it only when the execution is closed; a worker
 * that shuts down, and everything else, leaves it.
 * @param source signal of the activity; its reason's message is Temporal's reason.
 */
export function sortCancellation(
  source: AbortSignal,
  execution: { readonly workflowId: string; readonly runId: string },
  executions: Executions,
): AttemptSignals {
  const cancelled = new AbortController();
  const detached = new AbortController();
  const sort = async () => {
    const reason: unknown = source.reason;
    const word = reason instanceof Error ? reason.message : String(reason);
    if (word === 'CANCELLED') cancelled.abort(reason);
    else if ((word === 'NOT_FOUND' || word === 'TIMED_OUT') && (await isClosed(executions, execution)))
      cancelled.abort(reason);
    else detached.abort(reason);
  };
  if (source.aborted) void sort();
  else source.addEventListener('abort', () => void sort(), { once: true });
  return { cancelled: cancelled.signal, detached: detached.signal };
}

async function isClosed(
  executions: Executions,
  execution: { readonly workflowId: string; readonly runId: string },
): Promise<boolean> {
  try {
    return (await executions.isClosed(execution)) === true;
  } catch {
    return false;
  }
}
