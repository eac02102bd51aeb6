import type { WorkflowExecutionDescription } from '@temporalio/client';
import { formatDuration } from '../core/duration.js';
import type { CallStatus, RunStatus } from '../core/run.js';

/** What the worker of an attempt told with its last heartbeat. */
interface AttemptBeat {
  readonly callId: string;
  readonly phase: string;
  readonly sinceMs: number;
  readonly detail?: string;
}

/**
 * A live run with what the attempts of its calls on Kubernetes are doing now: waiting for a node and why, pulling, fetching, running. The run
 * itself does not know it; the server has it from the heartbeats of their workers.
 */
export function withPhases<R extends Pick<RunStatus, 'calls'>>(
  status: R,
  description: Pick<WorkflowExecutionDescription, 'raw'>,
  nowMs: number,
): R {
  const beats = (description.raw.pendingActivities ?? []).flatMap((activity) => {
    // A queue that names a host is that of processes, which start at once.
    const queue = activity.activityOptions?.taskQueue?.name ?? '@';
    return queue.includes('@') ? [] : readBeat(activity.heartbeatDetails?.payloads?.[0]?.data);
  });
  if (beats.length === 0) return status;
  const calls = status.calls.map((call) => {
    const beat = call.state === 'running' ? beats.find(({ callId }) => callId === call.id) : undefined;
    return beat ? withPhase(call, beat, nowMs) : call;
  });
  return { ...status, calls };
}

function withPhase(call: CallStatus, { phase, sinceMs, detail }: AttemptBeat, nowMs: number): CallStatus {
  const why = detail === undefined ? '' : `: ${detail}`;
  return {
    ...call,
    phase: { name: phase, sinceMs, ...(detail === undefined ? {} : { detail }) },
    detail: `${phase} for ${formatDuration(Math.max(0, nowMs - sinceMs))}${why}`,
  };
}

function readBeat(data: Uint8Array | null | undefined): AttemptBeat[] {
  try {
    const value = JSON.parse(new TextDecoder().decode(data ?? new Uint8Array())) as Partial<AttemptBeat>;
    const { callId, phase, sinceMs, detail } = value;
    if (typeof callId !== 'string' || typeof phase !== 'string' || typeof sinceMs !== 'number') return [];
    return [{ callId, phase, sinceMs, ...(typeof detail === 'string' && { detail }) }];
  } catch {
    return [];
  }
}
