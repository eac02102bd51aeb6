export { createAnnealClient, type AnnealClient } from './anneal-client.js';
export type { AnnealClientOptions, ClientClock } from './client-deps.js';
export { connectProject, type ConnectProjectOptions, type ProjectConnection } from './connect-project.js';
export { connectTemporal, type TemporalConnection, type TemporalEndpoint } from './connect.js';
export type { ApprovalsOptions, WaitingApproval } from './approvals-inbox.js';
export type { AuditComparison, AuditedDecision, RunAudit, SignatureCheck } from './audit-run.js';
export type { GateEnd, GateRecord } from '../core/gate-record.js';
export type { BackfillOptions, BackfillPlan, Backfills } from './backfills.js';
export type { DecideOptions } from './decide-approval.js';
export type { Lineage, LineageOptions } from './lineage.js';
export type { LineageRepair } from './lineage-repair.js';
export type { LineageEdge, LineageNode } from './lineage-graph.js';
export type { ListRunsOptions, RunSummary } from './list-runs.js';
export { COST_GROUPS, type CostGroup, type Costs, type CostsOptions } from './run-costs.js';
export type { Overview } from './overview.js';
export type { PoolLoad, PoolQueue } from './pool-load.js';
export type { RunReport } from './read-status.js';
export { readRunHistories, type RunHistory } from './run-histories.js';
export type { LogChunk, LogsOptions } from './run-logs.js';
export { shellWord } from './run-id.js';
export type { AliasMoved, AliasOptions, ModelOperations } from './model-operations.js';
export type { CancelOptions } from './end-run.js';
export { isOpen } from './run-state.js';
export {
  createRetention,
  type HoldSubject,
  type Retention,
  type RetentionOptions,
} from './retention/create-retention.js';
export type { Hold } from './retention/holds.js';
export type { EndingRun } from './retention/ending-runs.js';
export type { RetentionPlan } from './retention/plan-retention.js';
export type { GcProgress } from './retention/retention-deps.js';
export type { SweepResult } from './retention/sweep.js';
export type { ScheduleChanges } from './schedules/apply-schedules.js';
export type { Schedules } from './schedules/create-schedules.js';
export type { TriggerInfo } from './schedules/list-triggers.js';
export type { ScheduledTime } from './schedules/schedule-history.js';
export type { ScheduleInfo } from './schedules/list-schedules.js';
export type { RetriedRun, RetryOptions } from './retry-run.js';
export type { CommandStepOptions } from './command-step.js';
export type { CommandAnswer } from '../core/step-command.js';
export type { ControlRequest, StepChange, StepSettings } from '../core/run-control.js';
export type { StepOutput, StepOutputsReport } from './step-outputs.js';
export type { StartedRun, StartRunOptions } from './start-run.js';
export type { CacheExplanation } from './explain-cache.js';
export type { CachedResult, CacheFilter, ClientCache } from './step-cache.js';
export type { MigratedRun, Version, VersionedRun, Versions, VersionStatus } from './versions.js';
export type { WatchOptions } from './watch-run.js';
export { openSigner, type DecisionSigner } from './sign-decision.js';
export type { ApprovalDecision, Approver, RecordedDecision } from '../core/approval.js';
export { AnnealError, type FailureCode } from '../core/failures.js';
export type { BackfillProgress } from '../core/backfill.js';
export type { RunState, RunStatus } from '../core/run.js';
