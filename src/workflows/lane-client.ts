import {
  CancellationScope,
  condition,
  isCancellation,
  log,
  proxyActivities,
  workflowInfo,
} from '@temporalio/workflow';
import type { SystemActivities } from '../core/activities.js';
import { type LaneAnswer, type LaneOperation, type LaneResult } from '../core/registry.js';
import { systemTaskQueue } from '../core/run.js';
import { toFailure } from './failures.js';
import type { LiveCall } from './live-call.js';
import type { RunContext } from './run-context.js';

/** Time without an answer after which a request is sent again; the lane carries out a request id once. */
const RESEND_AFTER = '5m';

/** What a run asks of a model's lane, and the answers that came back by signal. */
export class LaneClient {
  private readonly answers = new Map<string, LaneAnswer['outcome']>();

  /** Handler of signal `laneAnswer`. */
  receive(answer: LaneAnswer): void {
    this.answers.set(answer.requestId, answer.outcome);
  }

  /** Sends an operation to the lane of a model and waits, holding no slot, until it is carried out. */
  async request(
    context: RunContext,
    call: LiveCall,
    operation: { readonly modelName: string; readonly operation: LaneOperation; readonly summary: string },
  ): Promise<LaneResult> {
    const { submitToLane } = proxyActivities<SystemActivities>({
      taskQueue: systemTaskQueue(context.snapshot.project),
      startToCloseTimeout: '30s',
      retry: { maximumInterval: '30s' },
      summary: operation.summary,
    });
    await call.begin();
    const request = {
      requestId: call.callId,
      modelName: operation.modelName,
      operation: operation.operation,
      replyTo: { workflowId: workflowInfo().workflowId },
    };
    const answered = () => this.answers.has(call.callId);
    try {
      do await submitToLane(request);
      while (
        !(await condition(answered, RESEND_AFTER, { summary: `answer of model/${operation.modelName}` }))
      );
    } catch (error) {
      if (isCancellation(error)) await withdraw(context, operation.modelName, call.callId);
      throw error;
    }
    const outcome = this.answers.get(call.callId);
    if (!outcome?.ok)
      throw toFailure(
        outcome?.failure.code ?? 'RegistrationFailed',
        outcome?.failure.message ?? 'The lane gave no answer.',
      );
    return outcome.result;
  }
}

/**
 * A cancelled run's request must not be carried out later, though it may be on its way still: the lane is started for it where it has to be,
 * and remembers.
 */
async function withdraw(context: RunContext, modelName: string, requestId: string): Promise<void> {
  const { withdrawFromLane } = proxyActivities<SystemActivities>({
    taskQueue: systemTaskQueue(context.snapshot.project),
    startToCloseTimeout: '30s',
    scheduleToCloseTimeout: '1h',
    retry: { maximumInterval: '30s' },
    summary: `take back what was asked of model/${modelName}`,
  });
  await CancellationScope.nonCancellable(async () => {
    try {
      await withdrawFromLane({ modelName, requestId });
    } catch (error) {
      log.error('a request could not be taken back', { modelName, error: String(error) });
    }
  });
}
