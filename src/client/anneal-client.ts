import { setTimeout as delay } from 'node:timers/promises';
import { listApprovals, type ApprovalsOptions, type WaitingApproval } from './approvals-inbox.js';
import { auditRun, type RunAudit } from './audit-run.js';
import type { AnnealClientOptions, ClientDeps } from './client-deps.js';
import type { BudgetChange, BudgetStatus } from '../core/budget.js';
import type { ControlRequest, StepChange, StepSettings } from '../core/run-control.js';
import { commandStep, type CommandStepOptions } from './command-step.js';
import type { CommandAnswer } from '../core/step-command.js';
import { verifySignature } from '../core/verify-signature.js';
import { createBackfills, type Backfills } from './backfills.js';
import { pauseRun, resumeRun, setStep } from './control-run.js';
import { setBudget } from './set-budget.js';
import { retryRun, type RetriedRun, type RetryOptions } from './retry-run.js';
import { decideApproval, type DecideOptions } from './decide-approval.js';
import { cancelRun, terminateRun, type CancelOptions } from './end-run.js';
import { repairLineage, traceLineage, type Lineage, type LineageOptions } from './lineage.js';
import type { LineageRepair } from './lineage-repair.js';
import { listRuns, type ListRunsOptions, type RunSummary } from './list-runs.js';
import { sumCosts, type Costs, type CostsOptions } from './run-costs.js';
import { readLogs, type LogChunk, type LogsOptions } from './run-logs.js';
import { createModelOperations, type ModelOperations } from './model-operations.js';
import { readOverview, type Overview } from './overview.js';
import type { PoolQueue } from './pool-load.js';
import { readStatus, type RunReport } from './read-status.js';
import { createSchedules, type Schedules } from './schedules/create-schedules.js';
import { createClientCache, type ClientCache } from './step-cache.js';
import { readOutputs, type StepOutputsReport } from './step-outputs.js';
import { startRun, type StartedRun, type StartRunOptions } from './start-run.js';
import { createVersions, type Versions } from './versions.js';
import { waitForRun, watchRun, type WatchOptions } from './watch-run.js';
import type { ApprovalDecision, Approver } from '../core/approval.js';

/**
 * Starts, watches and steers the runs of one project. Every method fails with an `AnnealError` whose code is in docs/errors.md:
 * `RunNotFound`, `ServerUnreachable` and what the method names.
 */
export interface AnnealClient {
  /** @throws AnnealError RunExists, PayloadTooLarge, InvalidInput. */
  startRun(pipeline: string, options?: StartRunOptions): Promise<StartedRun>;
  status(runId: string): Promise<RunReport>;
  list(options?: ListRunsOptions): Promise<RunSummary[]>;
  /** What runs cost on pools with a price, summed up. */
  costs(options: CostsOptions): Promise<Costs>;
  /** Pools, open runs, what is stuck and what waits for people, in one look. */
  overview(queues: readonly PoolQueue[]): Promise<Overview>;
  /** One status per look until the run has ended. */
  watch(runId: string, options?: WatchOptions): AsyncIterable<RunReport>;
  /** Waits for the end; a run that failed is an answer, not an error. */
  wait(runId: string, options?: WatchOptions): Promise<RunReport>;
  /** Asks a run to stop and waits until everything of it has ended. */
  cancel(runId: string, options?: CancelOptions): Promise<RunReport>;
  /** Ends a run at once, without its own clean-up. */
  terminate(runId: string, reason: string): Promise<RunReport>;
  /** @throws AnnealError InvalidInput, WorkerUnavailable. */
  decide(options: DecideOptions): Promise<ApprovalDecision>;
  /** Takes up the finished work of a run that has ended, in a new run. @throws AnnealError InvalidInput, WorkerUnavailable. */
  retry(runId: string, options?: RetryOptions): Promise<RetriedRun>;
  /** Lets a run start nothing new. */
  pause(runId: string, request: ControlRequest): Promise<string>;
  resume(runId: string, request: ControlRequest): Promise<string>;
  /** Time limit, memory or pool of a step's next attempts. */
  setStep(runId: string, change: StepChange): Promise<StepSettings>;
  /** What the run may cost from now on. */
  setBudget(runId: string, change: BudgetChange): Promise<BudgetStatus>;
  /** Sends a command to a running step and waits for its answer. @throws AnnealError InvalidInput, WorkerUnavailable. */
  command<P>(runId: string, command: CommandStepOptions<P>): Promise<CommandAnswer>;
  /** Gates that wait for people, over all runs of the project. */
  approvals(options?: ApprovalsOptions): Promise<WaitingApproval[]>;
  /** Who decided what; with approvers, their signatures are checked. */
  audit(runId: string, approvers?: readonly Approver[]): Promise<RunAudit>;
  /** What a step made, with previews. @throws AnnealError InvalidInput, InputMissing. */
  outputs(runId: string, step: string): Promise<StepOutputsReport>;
  logs(runId: string, options?: LogsOptions): AsyncIterable<LogChunk>;
  /**
   * What something was made of, and what came of it. @param subject `model:NAME@ALIAS`, `model:NAME/VERSION`, `run:ID`, `artifact:DIGEST`,
   * `dataset:URI`. @throws AnnealError InvalidInput, TrackingUnavailable.
   */
  lineage(subject: string, options?: LineageOptions): Promise<Lineage>;
  /** Makes records of lineage again that a power failure took. Reads all of the store's manifests and records. @throws AnnealError StoreUnavailable. */
  repairLineage(): Promise<LineageRepair>;
  readonly schedules: Schedules;
  readonly backfills: Backfills;
  readonly cache: ClientCache;
  readonly models: ModelOperations;
  /** Which builds runs are on. */
  readonly versions: Versions;
}

/** A client over a connection that the caller made and closes. */
export function createAnnealClient(options: AnnealClientOptions): AnnealClient {
  const deps: ClientDeps = { ...options, clock: options.clock ?? SYSTEM_CLOCK };
  return {
    startRun: async (pipeline, start) => await startRun(deps, pipeline, start),
    status: async (runId) => await readStatus(deps, runId),
    list: async (query) => await listRuns(deps, query),
    costs: async (options) => await sumCosts(deps, options),
    overview: async (queues) => await readOverview(deps, queues),
    watch: (runId, watch) => watchRun(deps, runId, watch),
    wait: async (runId, watch) => await waitForRun(deps, runId, watch),
    cancel: async (runId, watch) => await cancelRun(deps, runId, watch),
    terminate: async (runId, reason) => await terminateRun(deps, runId, reason),
    decide: async (decision) => await decideApproval(deps, decision),
    retry: async (runId, retry) => await retryRun(deps, runId, retry),
    pause: async (runId, request) => await pauseRun(deps, runId, request),
    resume: async (runId, request) => await resumeRun(deps, runId, request),
    setStep: async (runId, change) => await setStep(deps, runId, change),
    setBudget: async (runId, change) => await setBudget(deps, runId, change),
    command: async (runId, command) => await commandStep(deps, runId, command),
    approvals: async (waiting) => await listApprovals(deps, waiting),
    audit: async (runId, approvers) =>
      await auditRun(deps, runId, approvers && { approvers, verify: options.verify ?? verifySignature }),
    outputs: async (runId, step) => await readOutputs(deps, runId, step),
    logs: (runId, logs) => readLogs(deps, runId, logs),
    lineage: async (subject, lineage) => await traceLineage(deps, subject, lineage),
    repairLineage: async () => await repairLineage(deps),
    cache: createClientCache(deps),
    schedules: createSchedules(deps),
    backfills: createBackfills(deps),
    models: createModelOperations(deps),
    versions: createVersions(deps),
  };
}

const SYSTEM_CLOCK = {
  nowMs: () => Date.now(),
  sleep: async (ms: number, signal?: AbortSignal) => {
    await delay(ms, undefined, signal === undefined ? {} : { signal });
  },
};
