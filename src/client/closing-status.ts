import type { LoadedDataConverter, Payload } from '@temporalio/common';
import type { RunStatus } from '../core/run.js';
import type { ClientDeps } from './client-deps.js';
import { callTemporal } from './temporal-errors.js';

/** The activity that a run asks to write its record. */
export const CLOSE_RUN = 'closeRun';

/** Its argument, as far as the client reads it. */
export interface ClosingRun {
  readonly status: RunStatus;
}

/** Events at the end of a history among which it is looked for: after it there are only its own end and that of the run. */
const LAST_EVENTS = 200;

/**
 * What a run handed over as its record, from its history, which nobody can change; undefined of one that ended without a word of its
 * own: it was terminated, or took too long.
 * @throws AnnealError RunNotFound, ServerUnreachable.
 */
export async function readClosingStatus(deps: ClientDeps, runId: string): Promise<RunStatus | undefined> {
  const { workflow, workflowService, options } = deps.temporal;
  const { history } = await callTemporal(deps, `run "${runId}"`, async () => {
    const newest = await workflow.getHandle(runId).describe();
    return await workflowService.getWorkflowExecutionHistoryReverse({
      namespace: options.namespace,
      execution: { workflowId: runId, runId: newest.runId },
      maximumPageSize: LAST_EVENTS,
    });
  });
  for (const { activityTaskScheduledEventAttributes: scheduled } of history?.events ?? [])
    if (scheduled?.activityType?.name === CLOSE_RUN) {
      const [closing] = await decodePayloads(options.loadedDataConverter, scheduled.input);
      return (closing as ClosingRun).status;
    }
  return undefined;
}

/** The values behind payloads; large ones are fetched from the store. */
export async function decodePayloads(
  converter: LoadedDataConverter,
  payloads: { readonly payloads?: Payload[] | null } | null | undefined,
): Promise<unknown[]> {
  let list = payloads?.payloads ?? [];
  for (const codec of [...converter.payloadCodecs].reverse()) list = await codec.decode(list);
  return list.map((payload) => converter.payloadConverter.fromPayload(payload));
}
