import { workflowInfo } from '@temporalio/workflow';
import { explainNearlySpent, type BudgetStatus } from '../core/budget.js';
import { whoIsTold } from '../core/notification-routes.js';
import { buildRunNotification, type RunEvent } from '../core/notifications.js';
import type { RunContext } from './run-context.js';
import { tell } from './runtime.js';

/** Tells whoever wants to know of the end of a run. The status has the run's end already. */
export async function tellOfEnd(
  context: RunContext,
  events: readonly Extract<RunEvent, 'failure' | 'success' | 'recovery'>[],
): Promise<void> {
  // Of this execution: a run that is reset and fails again is told of again.
  const { runId: epoch } = workflowInfo();
  await Promise.all(events.map(async (event) => await tellOf(context, { event, epoch })));
}

/** Tells that a run has cost most of its budget; of one that is raised, again. */
export async function tellOfBudget(context: RunContext, budget: BudgetStatus): Promise<void> {
  const { runId: epoch, workflowId } = workflowInfo();
  const why = explainNearlySpent(budget, workflowId);
  await tellOf(context, { event: 'budget', epoch: `${budget.limit}-${epoch}`, why });
}

async function tellOf(
  context: RunContext,
  message: Pick<Parameters<typeof buildRunNotification>[0], 'event' | 'epoch' | 'why'>,
): Promise<void> {
  const { view, snapshot } = context;
  const to = whoIsTold(message.event, view.definition.notify, snapshot.notify);
  if (to.length > 0) await tell(context, buildRunNotification({ ...message, status: view.status(), to }));
}
