import { randomUUID } from 'node:crypto';
import { WithStartWorkflowOperation, type Client, type Workflow } from '@temporalio/client';
import { AnnealError } from '../core/failures.js';
import {
  LANE_OPERATE,
  LANE_WORKFLOW,
  laneWorkflowId,
  type AliasOperation,
  type AliasRepair,
  type LaneAnswer,
  type LaneRequest,
  type LaneResult,
  type ReconcileOperation,
} from '../core/registry.js';
import { systemTaskQueue } from '../core/run.js';
import type { ClientDeps } from './client-deps.js';
import { classifyTemporalError, translateTemporalError } from './temporal-errors.js';

/** An alias of a model. */
export interface AliasOptions {
  readonly model: string;
  /** Default `'champion'`. */
  readonly alias?: string;
  /** Who asks; recorded with the move. */
  readonly by: string;
  /** The same id is carried out once, so a call whose answer was lost can be repeated. Default: made up. */
  readonly requestId?: string;
}

/** Where an alias points after a move. */
export interface AliasMoved {
  readonly model: string;
  readonly alias: string;
  /** Null: the alias is not set any more. */
  readonly version: number | null;
  readonly replaced?: number;
  /** Aliases that a late write had moved and that were put back first. */
  readonly repairs: readonly AliasRepair[];
}

/** Moves aliases by hand, through the lane of the model, like pipelines do. */
export interface ModelOperations {
  /** @throws AnnealError InvalidInput, WorkerUnavailable, TrackingUnavailable, TrackingRefused, RegistrationFailed. */
  promote(options: AliasOptions & { readonly version: number }): Promise<AliasMoved>;
  /** Back to the version that the alias pointed at before. @throws AnnealError as `promote`. */
  rollback(options: AliasOptions): Promise<AliasMoved>;
  /** Removes the alias. @throws AnnealError as `promote`. */
  demote(options: AliasOptions): Promise<AliasMoved>;
  /** Compares the aliases of a model with what was recorded, and puts back what a late write moved. @throws AnnealError as `promote`. */
  repair(model: string): Promise<readonly AliasRepair[]>;
}

/** Makes {@link ModelOperations}. */
export function createModelOperations(deps: ClientDeps): ModelOperations {
  const move = async (options: AliasOptions, operation: AliasOperation): Promise<AliasMoved> => {
    const { model, requestId = randomUUID() } = options;
    checkAlias(operation.alias);
    const result = await operate(deps, { requestId, modelName: model, operation });
    return toMoved(model, operation, result);
  };
  const of = ({ alias = 'champion', by }: AliasOptions) => ({ alias, by });
  return {
    promote: async (options) => {
      const { version } = options;
      if (!Number.isSafeInteger(version) || version < 1)
        throw new AnnealError(
          'InvalidInput',
          `${String(version)} is not a version of a model; it must be a whole number of at least 1, as MLflow shows it.`,
        );
      return await move(options, { kind: 'promote', version: String(version), ...of(options) });
    },
    rollback: async (options) => await move(options, { kind: 'rollback', ...of(options) }),
    demote: async (options) => await move(options, { kind: 'demote', ...of(options) }),
    repair: async (modelName) => {
      const operation: ReconcileOperation = { kind: 'reconcile' };
      const { repairs = [] } = await operate(deps, { requestId: randomUUID(), modelName, operation });
      return repairs;
    },
  };
}

/** Time for an operation: MLflow may be away for a while, and others may be before this one. */
const ANSWER_MS = 120_000;
/** A lane that closes at the very moment is started anew. */
const TRIES = 3;

async function operate(deps: ClientDeps, request: LaneRequest): Promise<LaneResult> {
  const outcome = await askLane(deps, request);
  if (outcome.ok) return outcome.result;
  throw new AnnealError(outcome.failure.code, outcome.failure.message);
}

async function askLane(deps: ClientDeps, request: LaneRequest): Promise<LaneAnswer['outcome']> {
  const deadline = deps.clock.nowMs() + ANSWER_MS;
  for (let tries = 1; ; tries++) {
    try {
      return await deps.temporal.withDeadline(deadline, async () => await updateLane(deps, request));
    } catch (error) {
      const kind = classifyTemporalError(error);
      if (kind === 'not-found' && tries < TRIES) continue;
      if (kind === 'unreachable') throw perhapsAsked(request, error);
      if (kind !== 'no-answer' && kind !== 'cancelled')
        throw translateTemporalError(error, `the lane of model "${request.modelName}"`);
      throw new AnnealError(
        'WorkerUnavailable',
        `Nobody confirmed "${request.operation.kind}" of model "${request.modelName}" within ${ANSWER_MS / 1_000} s; it may still be carried out. Start a worker of project "${deps.project}" with "anneal up", and look at the aliases before asking again.`,
        { cause: error },
      );
    }
  }
}

/** The connection may have broken after the request: asked again, a rollback would go back once more. */
function perhapsAsked({ modelName, operation: { kind } }: LaneRequest, error: unknown): unknown {
  const cause = translateTemporalError(error, `the lane of model "${modelName}"`);
  if (!(cause instanceof AnnealError)) return cause;
  return new AnnealError(
    cause.code,
    `${cause.message} "${kind}" may be carried out all the same: look at the aliases before asking again.`,
    { cause },
  );
}

async function updateLane(
  { temporal, project }: { readonly temporal: Client; readonly project: string },
  request: LaneRequest,
): Promise<LaneAnswer['outcome']> {
  const startWorkflowOperation = new WithStartWorkflowOperation(LANE_WORKFLOW, {
    workflowId: laneWorkflowId(request.modelName),
    taskQueue: systemTaskQueue(project),
    args: [],
    workflowIdConflictPolicy: 'USE_EXISTING',
  });
  return await temporal.workflow.executeUpdateWithStart<Workflow, LaneAnswer['outcome'], [LaneRequest]>(
    LANE_OPERATE,
    {
      args: [request],
      updateId: request.requestId,
      startWorkflowOperation,
    },
  );
}

function toMoved(model: string, { kind, alias }: AliasOperation, result: LaneResult): AliasMoved {
  const { version, replaced, repairs = [] } = result;
  if (kind === 'demote') return { model, alias, version: null, replaced: Number(version), repairs };
  return {
    ...{ model, alias, version: Number(version), repairs },
    ...(replaced === undefined ? {} : { replaced: Number(replaced) }),
  };
}

/** MLflow's own rule for aliases, said before anything is sent. */
function checkAlias(alias: string): void {
  if (/^[\w-]{1,255}$/.test(alias) && !/^(latest|v\d+)$/i.test(alias)) return;
  throw new AnnealError(
    'InvalidInput',
    `"${alias}" cannot be an alias; MLflow takes letters, digits, _ and -, but neither "latest" nor "v1". Choose another.`,
  );
}
