import {
  CancellationScope,
  condition,
  defineSignal,
  getExternalWorkflowHandle,
  isCancellation,
  proxyActivities,
  workflowInfo,
} from '@temporalio/workflow';
import type { SystemActivities } from '../core/activities.js';
import {
  LANE_WITHDRAW,
  laneWorkflowId,
  type LaneAnswer,
  type LaneOperation,
  type LaneResult,
} from '../core/registry.js';
import { systemTaskQueue } from '../core/run.js';
import { toFailure } from './failures.js';
import type { LiveCall, RunContext } from './run-context.js';

const withdrawSignal = defineSignal<[string]>(LANE_WITHDRAW);

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
      if (isCancellation(error)) await withdraw(operation.modelName, call.callId);
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

/** A cancelled run's request must not be carried out later. A lane that has closed has nothing to take back. */
async function withdraw(modelName: string, requestId: string): Promise<void> {
  await CancellationScope.nonCancellable(async () => {
    try {
      await getExternalWorkflowHandle(laneWorkflowId(modelName)).signal(withdrawSignal, requestId);
    } catch {
      return;
    }
  });
}
