import type { WorkflowExecutionDescription } from '@temporalio/client';
import { formatDuration } from '../core/duration.js';
import type { CallStatus, RunStatus } from '../core/run.js';

/** What the worker of an attempt told with its last heartbeat. */
interface AttemptBeat {
  readonly callId: string;
  /** Number of the attempt; undefined where its name does not say it. */
  readonly attempt: number | undefined;
  readonly phase: string;
  readonly sinceMs: number;
  readonly detail?: string;
}

interface LiveAttempt extends AttemptBeat {
  readonly isProcess: boolean;
}

/** What a process does before and after its command is over sooner, as a rule, than the next heartbeat tells. */
const WORTH_TELLING_MS = 5_000;

/**
 * A live run with what the attempts of its calls are doing now: waiting for a node or a GPU and why, pulling, making a Python environment, running. The
 * run itself does not know it; the server has it from the heartbeats of their workers. Of processes only what takes long is told, and not that they run.
 */
export function withPhases<R extends Pick<RunStatus, 'calls'>>(
  status: R,
  description: Pick<WorkflowExecutionDescription, 'raw'>,
  nowMs: number,
): R {
  const beats = readBeats(description).filter(
    ({ isProcess, phase, sinceMs }) =>
      !isProcess || (phase !== 'running' && nowMs - sinceMs >= WORTH_TELLING_MS),
  );
  if (beats.length === 0) return status;
  const calls = status.calls.map((call) => {
    const beat = call.state === 'running' ? beats.find(({ callId }) => callId === call.id) : undefined;
    return beat ? withPhase(call, beat, nowMs) : call;
  });
  return { ...status, calls };
}

/** What the attempts of a run are doing, as far as their workers have told. */
export function readBeats({ raw }: Pick<WorkflowExecutionDescription, 'raw'>): LiveAttempt[] {
  return (raw.pendingActivities ?? []).flatMap((activity) => {
    const queue = activity.activityOptions?.taskQueue?.name;
    if (typeof queue !== 'string') return [];
    // A queue that names a host is that of processes.
    const isProcess = queue.includes('@');
    return readBeat(activity).map((beat) => ({ ...beat, isProcess }));
  });
}

function withPhase(call: CallStatus, { phase, sinceMs, detail }: AttemptBeat, nowMs: number): CallStatus {
  const why = detail === undefined ? '' : `: ${detail}`;
  return {
    ...call,
    phase: { name: phase, sinceMs, ...(detail === undefined ? {} : { detail }) },
    detail: `${phase} for ${formatDuration(Math.max(0, nowMs - sinceMs))}${why}`,
  };
}

/** An activity whose worker may have told something. */
interface BeatingActivity {
  readonly heartbeatDetails?: {
    readonly payloads?: readonly { readonly data?: Uint8Array | null }[] | null;
  } | null;
}

/** What the worker of an activity told last, if that is of an attempt. */
export function readBeat({ heartbeatDetails }: BeatingActivity): AttemptBeat[] {
  const data = heartbeatDetails?.payloads?.[0]?.data;
  try {
    const value = JSON.parse(new TextDecoder().decode(data ?? new Uint8Array())) as {
      readonly [K in keyof AttemptBeat]?: unknown;
    };
    const { callId, attempt: name, phase, sinceMs, detail } = value;
    if (typeof callId !== 'string' || typeof phase !== 'string' || typeof sinceMs !== 'number') return [];
    const number = typeof name === 'string' ? /-a(\d+)$/.exec(name)?.[1] : undefined;
    const attempt = number === undefined ? undefined : Number(number);
    return [{ callId, attempt, phase, sinceMs, ...(typeof detail === 'string' && { detail }) }];
  } catch {
    return [];
  }
}
