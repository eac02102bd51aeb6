import {
  ActivityCancellationType,
  allHandlersFinished,
  CancellationScope,
  condition,
  defineSignal,
  defineUpdate,
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
  LANE_OPERATE,
  LANE_SUBMIT,
  LANE_WITHDRAW,
  type LaneAnswer,
  type LaneRequest,
  type LaneWork,
} from '../core/registry.js';
import { readFailure } from './failures.js';

const submit = defineSignal<[LaneRequest]>(LANE_SUBMIT);
const operate = defineUpdate<LaneAnswer['outcome'], [LaneRequest]>(LANE_OPERATE);
const withdraw = defineSignal<[string]>(LANE_WITHDRAW);
const answerSignal = defineSignal<[LaneAnswer]>(LANE_ANSWER);

/** What a lane hands to its next execution. */
interface LaneState {
  readonly queue: readonly LaneRequest[];
  readonly done: readonly LaneAnswer[];
  /** Ids of requests that were taken back. */
  readonly withdrawn?: readonly string[];
  /** Order of the last operation. */
  readonly order?: number;
}

/** Answers that a lane remembers, for requests that are sent again; and requests taken back, for those that come later. */
const REMEMBERED = 500;
/** Time after which the aliases are looked at once more where a write was in doubt. */
const LATE_WRITES_MS = 120_000;

/** Time that a request that was taken back may still be on its way; a worker gives up sending one after half a minute. */
const ON_ITS_WAY_MS = 60_000;

/** A write of this lane may come late. */
interface Doubt {
  readonly modelName: string;
  /** When to look. */
  readonly untilMs: number;
}

/**
 * The lane of one model: carries out operations on the registry one at a time, in the order in which they came, answers by signal or as
 * the result of the update, and closes when it has nothing left. Workflow id `model/<name>`; reached by signal- or update-with-start.
 */
export async function modelLane(state: LaneState = { queue: [], done: [] }): Promise<void> {
  const queue: LaneRequest[] = [...state.queue];
  const done = new Map(state.done.map((answer) => [answer.requestId, answer.outcome]));
  const order = createOrder(state.order ?? 0);
  const withdrawn = new Set(state.withdrawn);
  let openUntilMs = 0;
  let current: { readonly requestId: string; readonly scope: CancellationScope } | undefined;
  handleRequests(queue, done, (requestId) => {
    withdrawn.add(requestId);
    for (const oldest of withdrawn) if (withdrawn.size > REMEMBERED) withdrawn.delete(oldest);
    if (current?.requestId === requestId) current.scope.cancel();
    else if (!queue.some((request) => request.requestId === requestId))
      openUntilMs = Date.now() + ON_ITS_WAY_MS;
  });
  await condition(() => queue.length > 0, '1m', { summary: 'first request' });
  let doubt: Doubt | undefined;
  for (;;) {
    const request = queue.shift();
    if (!request) {
      const leftMs = openUntilMs - Date.now();
      if (
        leftMs > 0 &&
        (await condition(() => queue.length > 0, leftMs, { summary: 'a request that was taken back' }))
      )
        continue;
      if (doubt === undefined) break;
      if (await lookAgain(doubt, { queue, order })) doubt = undefined;
      continue;
    }
    if (withdrawn.has(request.requestId)) continue;
    const scope = new CancellationScope();
    current = { requestId: request.requestId, scope };
    const outcome =
      done.get(request.requestId) ??
      (await scope.run(async () => await carryOut({ ...workOf(request), order: order() })));
    current = undefined;
    done.set(request.requestId, outcome);
    if (outcome.ok && outcome.result.doubtful)
      doubt = { modelName: request.modelName, untilMs: Date.now() + LATE_WRITES_MS };
    if (request.replyTo) await answer({ ...request, replyTo: request.replyTo }, outcome);
    // Who waits for an update would lose its answer.
    if (workflowInfo().continueAsNewSuggested && queue.length > 0 && allHandlersFinished())
      await continueLane({ queue, done, withdrawn: [...withdrawn], order: order() });
  }
  await condition(allHandlersFinished);
}

function handleRequests(
  queue: LaneRequest[],
  done: ReadonlyMap<string, LaneAnswer['outcome']>,
  takeBack: (requestId: string) => void,
): void {
  setHandler(submit, (request) => {
    queue.push(request);
  });
  setHandler(
    operate,
    async (request) => {
      queue.push(request);
      await condition(() => done.has(request.requestId));
      return done.get(request.requestId) ?? unanswered();
    },
    { description: 'Carry out an operation on the model: promote, rollback, demote, reconcile' },
  );
  setHandler(withdraw, takeBack);
}

function unanswered(): LaneAnswer['outcome'] {
  return { ok: false, failure: { code: 'RegistrationFailed', message: 'The lane gave no answer.' } };
}

/**
 * Numbers that rise from operation to operation, over executions of the lane too: microseconds of Temporal's clock. A worker that is late
 * has the number of its operation, and is known by it.
 */
function createOrder(last: number): () => number {
  let order = last;
  return () => (order = Math.max(order + 1_000, Date.now() * 1_000));
}

function workOf({ modelName, operation, requestId }: LaneRequest): LaneWork {
  return { modelName, operation, requestId };
}

/**
 * A write whose answer got lost may have been carried out late: the lane looks once more before it closes.
 * @returns whether it looked; not where a request came first.
 */
async function lookAgain(
  { modelName, untilMs }: Doubt,
  { queue, order }: { readonly queue: readonly LaneRequest[]; readonly order: () => number },
): Promise<boolean> {
  const leftMs = Math.max(1, untilMs - Date.now());
  if (await condition(() => queue.length > 0, leftMs, { summary: 'late writes' })) return false;
  await carryOut({ modelName, operation: { kind: 'reconcile' }, requestId: 'look again', order: order() });
  return true;
}

async function carryOut(work: LaneWork): Promise<LaneAnswer['outcome']> {
  const { runLaneOperation } = proxyActivities<SystemActivities>({
    startToCloseTimeout: '1h',
    scheduleToCloseTimeout: '24h',
    heartbeatTimeout: '20s',
    cancellationType: ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
    retry: { maximumInterval: '30s' },
    summary: `${work.operation.kind} ${work.modelName}`,
  });
  try {
    return { ok: true, result: await runLaneOperation(work) };
  } catch (error) {
    const { code, message } = readFailure(error);
    return { ok: false, failure: { code: code === 'Unknown' ? 'RegistrationFailed' : code, message } };
  }
}

/** Nobody may be waiting any more; that is not the lane's trouble. */
async function answer(
  request: LaneRequest & { readonly replyTo: { readonly workflowId: string } },
  outcome: LaneAnswer['outcome'],
): Promise<void> {
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

async function continueLane({
  done,
  ...rest
}: Omit<LaneState, 'done'> & { readonly done: ReadonlyMap<string, LaneAnswer['outcome']> }): Promise<never> {
  const remembered = [...done].slice(-REMEMBERED).map(([requestId, outcome]) => ({ requestId, outcome }));
  return await makeContinueAsNewFunc<typeof modelLane>()({ ...rest, done: remembered });
}
