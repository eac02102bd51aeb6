import {
  condition,
  defineSignal,
  getExternalWorkflowHandle,
  makeContinueAsNewFunc,
  proxyActivities,
  setHandler,
  workflowInfo,
} from '@temporalio/workflow';
import type { SystemActivities } from '../core/activities.js';
import {
  ADMISSION_ADMITTED,
  ADMISSION_ENTER,
  ADMISSION_LEAVE,
  type AdmissionRequest,
  type AdmissionTicket,
} from '../core/admission.js';

const enter = defineSignal<[AdmissionRequest]>(ADMISSION_ENTER);
const leave = defineSignal<[AdmissionTicket]>(ADMISSION_LEAVE);
const admitted = defineSignal(ADMISSION_ADMITTED);

interface AdmissionState {
  readonly limit: number;
  readonly active: readonly AdmissionTicket[];
  readonly waiting: readonly AdmissionTicket[];
}

/** How often a full pipeline with runs waiting asks whether a run ended without leaving (terminated, timed out). */
const LIVENESS_CHECK = '30s';

/**
 * Lets runs of one pipeline in, `limit` at a time, in the order in which they came. Closes when nobody is in or waiting; reached by
 * signal-with-start. A run that was terminated cannot leave, so while others wait its place is checked.
 */
export async function admission(
  state: AdmissionState = { limit: 1, active: [], waiting: [] },
): Promise<void> {
  let { limit } = state;
  let active = [...state.active];
  let waiting = [...state.waiting];
  let changed = false;
  /** Runs in that ask again, because the answer to their first asking got lost. */
  let again: AdmissionTicket[] = [];
  /** Runs that left while they were being let in. */
  const left = new Set<string>();
  const without = (list: readonly AdmissionTicket[], executionIds: readonly string[]) =>
    list.filter(({ executionId }) => !executionIds.includes(executionId));
  setHandler(enter, (request) => {
    ({ limit } = request);
    const { executionId } = request.ticket;
    const isIn = (list: readonly AdmissionTicket[]) =>
      list.some((ticket) => ticket.executionId === executionId);
    if (isIn(active)) again.push(request.ticket);
    else if (!isIn(waiting)) waiting.push(request.ticket);
    changed = true;
  });
  setHandler(leave, ({ executionId }) => {
    active = without(active, [executionId]);
    waiting = without(waiting, [executionId]);
    left.add(executionId);
    changed = true;
  });
  await condition(() => changed || waiting.length > 0, '1m', { summary: 'first run' });
  for (;;) {
    changed = false;
    const asking = again;
    again = [];
    for (const ticket of asking) await letIn(ticket);
    while (active.length < limit && waiting.length > 0) {
      const [next] = waiting.splice(0, 1);
      if (!next) break;
      left.delete(next.executionId);
      if ((await letIn(next)) && !left.has(next.executionId)) active.push(next);
    }
    left.clear();
    if (changed) continue;
    if (active.length === 0 && waiting.length === 0) return;
    if (workflowInfo().continueAsNewSuggested)
      await makeContinueAsNewFunc<typeof admission>()({ limit, active, waiting });
    if (waiting.length === 0) await condition(() => changed);
    else if (
      !(await condition(() => changed, LIVENESS_CHECK, { summary: 'is every open run still there?' }))
    ) {
      const closed = await findClosed([...active, ...waiting]);
      active = without(active, closed);
      waiting = without(waiting, closed);
    }
  }
}

/** A run that is gone needs no place. */
async function letIn(ticket: AdmissionTicket): Promise<boolean> {
  try {
    await getExternalWorkflowHandle(ticket.workflowId).signal(admitted);
    return true;
  } catch {
    return false;
  }
}

async function findClosed(tickets: readonly AdmissionTicket[]): Promise<readonly string[]> {
  const { findClosedRuns } = proxyActivities<SystemActivities>({
    startToCloseTimeout: '1m',
    summary: 'which of these runs are closed?',
  });
  return await findClosedRuns(tickets);
}
