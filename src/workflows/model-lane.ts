import {
  ActivityCancellationType,
  CancellationScope,
  condition,
  defineSignal,
  getExternalWorkflowHandle,
  log,
  makeContinueAsNewFunc,
  proxyActivities,
  setHandler,
  workflowInfo,
} from '@temporalio/workflow';
import type { SystemActivities } from '../core/activities.js';
import {
  LANE_ANSWER,
  LANE_SUBMIT,
  LANE_WITHDRAW,
  type LaneAnswer,
  type LaneRequest,
} from '../core/registry.js';
import { readFailure } from './failures.js';

const submit = defineSignal<[LaneRequest]>(LANE_SUBMIT);
const withdraw = defineSignal<[string]>(LANE_WITHDRAW);
const answerSignal = defineSignal<[LaneAnswer]>(LANE_ANSWER);

/** What a lane hands to its next execution. */
interface LaneState {
  readonly queue: readonly LaneRequest[];
  readonly done: readonly LaneAnswer[];
}

/** Answers that a lane remembers, for requests that are sent again. */
const REMEMBERED = 500;

/**
 * The lane of one model: carries out operations on the registry one at a time, in the order in which they came, answers by signal,
 * and closes when it has nothing left. Workflow id `model/<name>`; reached by signal-with-start.
 */
export async function modelLane(state: LaneState = { queue: [], done: [] }): Promise<void> {
  const queue: LaneRequest[] = [...state.queue];
  const done = new Map(state.done.map((answer) => [answer.requestId, answer.outcome]));
  setHandler(submit, (request) => {
    queue.push(request);
  });
  let current: { readonly requestId: string; readonly scope: CancellationScope } | undefined;
  setHandler(withdraw, (requestId) => {
    const at = queue.findIndex((request) => request.requestId === requestId);
    if (at >= 0) queue.splice(at, 1);
    else if (current?.requestId === requestId) current.scope.cancel();
  });
  await condition(() => queue.length > 0, '1m', { summary: 'first request' });
  for (let request = queue.shift(); request; request = queue.shift()) {
    const scope = new CancellationScope();
    current = { requestId: request.requestId, scope };
    const asked = request;
    const outcome = done.get(asked.requestId) ?? (await scope.run(async () => await carryOut(asked)));
    current = undefined;
    done.set(request.requestId, outcome);
    await answer(request, outcome);
    if (workflowInfo().continueAsNewSuggested && queue.length > 0) await continueLane(queue, done);
  }
}

async function carryOut({ modelName, operation }: LaneRequest): Promise<LaneAnswer['outcome']> {
  const { runLaneOperation } = proxyActivities<SystemActivities>({
    startToCloseTimeout: '1h',
    scheduleToCloseTimeout: '24h',
    heartbeatTimeout: '20s',
    cancellationType: ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
    retry: { maximumInterval: '30s' },
    summary: `${operation.kind} ${modelName}`,
  });
  try {
    return { ok: true, result: await runLaneOperation({ modelName, operation }) };
  } catch (error) {
    const { code, message } = readFailure(error);
    return { ok: false, failure: { code: code === 'Unknown' ? 'RegistrationFailed' : code, message } };
  }
}

/** Nobody may be waiting any more; that is not the lane's trouble. */
async function answer(request: LaneRequest, outcome: LaneAnswer['outcome']): Promise<void> {
  try {
    await getExternalWorkflowHandle(request.replyTo.workflowId).signal(answerSignal, {
      requestId: request.requestId,
      outcome,
    });
  } catch (error) {
    log.info('nobody waits for this answer', {
      workflowId: request.replyTo.workflowId,
      error: String(error),
    });
  }
}

async function continueLane(
  queue: readonly LaneRequest[],
  done: ReadonlyMap<string, LaneAnswer['outcome']>,
): Promise<never> {
  const remembered = [...done].slice(-REMEMBERED).map(([requestId, outcome]) => ({ requestId, outcome }));
  return await makeContinueAsNewFunc<typeof modelLane>()({ queue, done: remembered });
}
