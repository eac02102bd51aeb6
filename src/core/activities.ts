import type { AdmissionRequest, AdmissionTicket } from './admission.js';
import type { Approver } from './approval.js';
import type { EndedPartition, PartitionPlan } from './backfill.js';
import type { ArtifactRef } from './artifacts.js';
import type { AttemptOutcome, AttemptRequest } from './attempt.js';
import type { ResolvedImages } from './image-reference.js';
import type { Journal } from './journal.js';
import type { Json } from './json.js';
import type { CacheAnswer, CacheQuery, CacheSlot } from './claims.js';
import type { NotifyOptions } from './notification-routes.js';
import type { Delivery, Notification } from './notifications.js';
import type { Pool } from './pools.js';
import type { LaneRequest, LaneResult, LaneWork } from './registry.js';
import type { ClaimedStart, Starter } from './run-starter.js';
import type { CacheOptions, PendingApproval, RunState, RunStatus } from './run.js';
import type { AttemptCommand, CommandAnswer } from './step-command.js';
import type { SweepState } from './sweep.js';

/** Local activity at the start of a run: what the run will use, fixed for its whole life. */
export interface RunSnapshot {
  readonly project: string;
  readonly build: string;
  readonly pools: readonly Pool[];
  /** Digest of the code files of each step, by step name. */
  readonly codeDigests: { readonly [step: string]: string };
  /** Digest of each step's Python lock, by step name. */
  readonly pythonDigests: { readonly [step: string]: string };
  /** What the names of images stood for when the run began; absent: no pool of the project runs images. */
  readonly images?: ResolvedImages;
  /** Images of steps that name none, by pool. */
  readonly poolImages?: { readonly [pool: string]: string };
  /** Base of Temporal's Web UI for links, without slash at the end. */
  readonly temporalUiUrl?: string;
  readonly trackingUiUrl?: string;
  readonly tracked: boolean;
  /** Who is told of the runs of all pipelines, as anneal.yaml says. */
  readonly notify?: NotifyOptions;
  /** What the run was told about the cache when it was started. */
  readonly cache?: CacheOptions;
  /** Events of history after which the run looks for a moment to continue as new; absent: the server's suggestion. Tests and benchmarks lower it. */
  readonly continueAfterEvents?: number;
}

/** Run by the pipelines worker itself. */
export interface PipelineActivities {
  snapshotRun(input: { readonly pipeline: string }): Promise<RunSnapshot>;
  runTask(input: { readonly task: string; readonly input: Json }): Promise<Json>;
  /**
   * The people that a gate names, as anneal.yaml lists them now: groups are resolved to their members.
   * @param names of approvers and groups; absent: everybody who is listed.
   */
  resolveApprovers(input: ApproversRequest): Promise<ResolvedApprovers>;
  /** Looks for a result to reuse; where there is none, claims the making of it. Does not wait. */
  askCache(query: CacheQuery): Promise<CacheAnswer>;
  /**
   * Waits while another call makes the result: until that is there, or can be claimed, or another run makes it. After `untilMs` the claim
   * is taken from whoever holds it.
   */
  awaitCache(
    query: CacheQuery,
    wait: { readonly untilMs: number; readonly runId: string },
  ): Promise<CacheAnswer>;
}

/** Run by the workers of a pool, on the pool's task queue. One stable, additive contract for all builds. */
export interface PoolActivities {
  /**
   * Launches or adopts the attempt, watches it to its end and answers with its outcome. A retry by Temporal means "the worker was
   * lost": it adopts. `slot`: where the result goes in the cache once the outputs are safe.
   */
  executeAttempt(request: AttemptRequest, slot?: CacheSlot): Promise<AttemptOutcome>;
  /** Ends whatever is left of an attempt that gave no outcome and verifies that it is gone. Idempotent. */
  endAttempt(
    request: Pick<
      AttemptRequest,
      'project' | 'step' | 'index' | 'attempt' | 'pool' | 'executionId' | 'callId' | 'stopGraceMs'
    >,
  ): Promise<void>;
  /** Hands a command to an attempt and waits for its answer. The same command again is handed over once. */
  commandAttempt(dispatch: CommandDispatch): Promise<CommandAnswer>;
}

/** A command for an attempt that runs. */
export interface CommandDispatch {
  readonly attempt: Pick<
    AttemptRequest,
    'project' | 'step' | 'index' | 'attempt' | 'pool' | 'executionId' | 'callId'
  >;
  readonly command: AttemptCommand;
  readonly answerWithinMs: number;
}

/** Run by the system workers of a project. */
export interface SystemActivities {
  /** Makes the run's MLflow parent run (searched for before it is created). */
  openTracking(input: {
    readonly pipeline: string;
    readonly executionId: string;
    readonly parameters: { readonly [name: string]: Json };
    readonly tags: readonly string[];
    readonly owner?: string;
    readonly build: string;
    /** Run id of the run whose work this one takes up. */
    readonly retryOf?: string;
  }): Promise<{ readonly experimentId: string; readonly parentRunId: string }>;
  /** Closes the parent run and leftovers below it, and writes the run's record to the store. */
  closeRun(input: {
    readonly status: RunStatus;
    readonly state: RunState;
    /** Of a run that did not complete: kept for a retry. */
    readonly journal?: Journal;
  }): Promise<void>;
  /** Looks at what a dataset's URI stands for now, and gives what is needed to read exactly that, later and elsewhere. */
  pinDataset(input: {
    readonly uri: string;
    readonly executionId: string;
  }): Promise<ArtifactRef<'Dataset', object>>;
  /**
   * Sees to it that people are told, and does not wait until they are: starts the workflow that delivers the message. Same id: once.
   * `recovery` is told only if the run before this one failed.
   */
  notify(input: Notification): Promise<void>;
  /** Writes the message into the run's notifications. Called by the delivery alone. */
  recordNotification(input: Notification): Promise<void>;
  /** Sends the message on one channel that has not taken it, and writes down how that went. Called by the delivery alone. */
  deliverNotification(input: Delivery): Promise<void>;
  /** Accounts for runs that ended without code of their own, stuck runs and skipped times of schedules. Called by the sweeper alone. */
  sweep(state: SweepState): Promise<SweepState>;
  /** What is to be done about partitions: those that unchanged code has made are skipped, unless `again`. Called by a backfill alone. */
  planPartitions(input: {
    readonly pipeline: string;
    readonly keys: readonly string[];
    readonly again: boolean;
    /** Parameters of their runs beside the key. Absent: none. */
    readonly params?: { readonly [name: string]: Json };
  }): Promise<readonly PartitionPlan[]>;
  /** Waits until one at least of the runs has ended. Called by a backfill alone. */
  awaitRuns(input: { readonly runIds: readonly string[] }): Promise<readonly EndedPartition[]>;
  /** Tells the people who may decide that a gate waits, with its metrics beside the champion's and the command that decides. */
  announceApproval(input: ApprovalAnnouncement): Promise<void>;
  /** Signal-with-start of the model's lane. */
  submitToLane(input: LaneRequest): Promise<void>;
  /** Takes a request back, also one that is still on its way: signal-with-start too. */
  withdrawFromLane(input: Pick<LaneRequest, 'modelName' | 'requestId'>): Promise<void>;
  /** Signal-with-start of the pipeline's admission. */
  submitToAdmission(input: AdmissionRequest): Promise<void>;
  /** Execution ids of those runs that are closed. */
  findClosedRuns(tickets: readonly AdmissionTicket[]): Promise<readonly string[]>;
  /** Carries out one operation on the registry, idempotently. Called by the lane alone. */
  runLaneOperation(input: LaneWork): Promise<LaneResult>;
  /** The version behind an alias with its metrics, or null. */
  readChampion(input: { readonly modelName: string; readonly alias: string }): Promise<ChampionInfo | null>;
}

/** What {@link PipelineActivities.resolveApprovers} is asked. */
export interface ApproversRequest {
  readonly gate: string;
  readonly approvers?: readonly string[];
  readonly escalateTo?: readonly string[];
  readonly veto?: readonly string[];
  /** Names that are not listed are taken as they are: they decide without a signature. */
  readonly allowUnverified: boolean;
  /** Asked for where whoever started the run may not decide. */
  readonly starter?: { readonly claimed?: string; readonly signed?: ClaimedStart };
}

/** Who may decide on a gate. */
export interface ResolvedApprovers {
  /** Absent: anybody. */
  readonly approvers?: readonly Approver[];
  readonly escalateTo?: readonly Approver[];
  readonly veto?: readonly string[];
  /** Where it was asked for. */
  readonly starter?: Starter;
}

/** What people are told of a gate that waits. */
export interface ApprovalAnnouncement {
  /** Same id: the same message. */
  readonly id: string;
  readonly why: 'opened' | 'reminder' | 'escalated';
  readonly runId: string;
  readonly executionId: string;
  readonly pipeline: string;
  readonly approval: PendingApproval;
  readonly to: readonly string[];
  /** Metrics of what waits, and the registered model to compare with. */
  readonly metrics?: { readonly [name: string]: number | string };
  readonly model?: { readonly name: string; readonly alias: string };
  /** The run's own in MLflow. */
  readonly tracking?: NonNullable<RunStatus['tracking']>;
}

/** A registered version as gates compare against it. */
export interface ChampionInfo {
  readonly version: string;
  readonly metrics: { readonly [name: string]: number };
  readonly digest?: string;
}
