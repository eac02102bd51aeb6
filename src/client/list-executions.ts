import type { WorkflowExecutionInfo } from '@temporalio/client';
import type { ClientDeps } from './client-deps.js';
import { callTemporal } from './temporal-errors.js';

/**
 * The executions of a visibility query. Each page of them, and not all together, has the time of one call: there may be any number.
 * @param about what is asked for, for messages.
 * @throws AnnealError ServerUnreachable.
 */
export async function* listExecutions(
  deps: ClientDeps,
  about: string,
  options: { readonly query: string; readonly pageSize: number },
): AsyncGenerator<WorkflowExecutionInfo> {
  const found = deps.temporal.workflow.list(options)[Symbol.asyncIterator]();
  for (;;) {
    const next = await callTemporal(deps, about, async () => await found.next());
    if (next.done === true) return;
    yield next.value;
  }
}
