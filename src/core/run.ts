import type { AttemptPhases } from './attempt.js';
import type { RecordedDecision, RefusedDecision } from './approval.js';
import type { GateRecord } from './gate-record.js';
import type { BudgetStatus } from './budget.js';
import { digestOfText } from './digest.js';
import type { FailureInfo } from './failures.js';
import type { Json } from './json.js';
import type { Paused, RetryOrigin, StepSettings } from './run-control.js';
import type { ParameterSchema } from './schema.js';
import type { TakenCommand } from './step-command.js';

/** Search attribute (Keyword) with the state of a run. */
export const STATUS_ATTRIBUTE = 'AnnealStatus';
/** Search attribute (KeywordList): `pipeline:<name>`, `owner:<name>`, `tag:<tag>`, `partition:<key>`, `model:<name>` once registered, `gate:<name>` once opened, `root:<run id>` of a sub-pipeline. */
export const TAGS_ATTRIBUTE = 'AnnealTags';
/** Query that answers a run's {@link RunStatus}. */
export const STATUS_QUERY = 'status';
/** Metadata of a payload that is read once and kept by nobody: it travels as it is, however large. */
export const INLINE_PAYLOAD = 'anneal-inline';
/** Update and signal with an `ApprovalDecision`. */
export const DECIDE_APPROVAL = 'decide';

/** Memo of a run: who started it, as their client says. */
export const STARTED_BY_MEMO = 'anneal.startedBy';
/** Memo with the {@link CacheOptions} of a run. */
export const CACHE_MEMO = 'anneal.cache';
/** Member of a run's parameters that says the same where no memo can be given (Temporal's Web UI): {@link CacheOptions}, or `false`. */
export const CACHE_PARAMETER = '$cache';

/** What a run may say of the cache when it is started. */
export interface CacheOptions {
  /** No step's result is taken from the cache, and none is kept. */
  readonly off?: true;
  /** Steps whose results are made again; the new ones are kept. */
  readonly refresh?: readonly string[];
  /** Files of cached results are read and compared with their digests, instead of only looked for. */
  readonly verify?: 'full';
}

/** State of a run as the search attribute and the CLI show it. A pipeline that returns `{ promoted: false }` ends as `not-promoted`. */
export type RunState =
  | 'queued'
  | 'running'
  | 'paused'
  | 'waiting-for-approval'
  | 'completed'
  | 'not-promoted'
  | 'failed'
  | 'cancelled'
  | 'terminated'
  | 'timed-out';

/** State of one call of a step, task, approval or other thing that a run waits for. */
export type CallState = 'running' | 'retrying' | 'waiting' | 'succeeded' | 'cached' | 'failed' | 'cancelled';

/** A call's state as one character, the same on terminals and in Temporal's Web UI. */
export const CALL_MARKS: { readonly [state in CallState]: string } = {
  running: '▶',
  retrying: '↻',
  waiting: '⏸',
  succeeded: '✔',
  cached: '⚡',
  failed: '✘',
  cancelled: '◼',
};

/** What the cache was asked for a call, or why it was not; `anneal cache why` reads the rest from the store. */
export interface CallCache {
  /** Name of the step's definition. */
  readonly step: string;
  readonly key?: string;
  /** Of the key: the one that was hit, or claimed. */
  readonly generation?: number;
  /** Why a step with a cache did not use it. */
  readonly off?: string;
}

/** One call as the status shows it. */
export interface CallStatus {
  readonly id: string;
  readonly kind: 'step' | 'task' | 'approval' | 'pipeline' | 'model' | 'dataset';
  readonly name: string;
  readonly state: CallState;
  readonly attempt: number;
  readonly pool?: string;
  readonly startedAtMs: number;
  readonly endedAtMs?: number;
  readonly attemptName?: string;
  /** Last attempt of each execution of the run that the call had attempts in, before it continued as new: they have names of their own. */
  readonly earlierAttempts?: readonly string[];
  readonly trackingRunId?: string;
  /** What its attempts that have ended cost, on pools that have a price. */
  readonly cost?: number;
  /** Where a cached result comes from: a run, and MLflow's run of the step that made it. */
  readonly cachedFrom?: {
    readonly runId: string;
    readonly executionId?: string;
    readonly tracking?: { readonly experimentId: string; readonly runId: string };
  };
  /** Values of its Metrics outputs, or what a gate or registration said. */
  readonly detail?: string;
  /** What its attempt does now, on Kubernetes; of a live run that is asked by a client. */
  readonly phase?: { readonly name: string; readonly sinceMs: number; readonly detail?: string };
  /** How long its last attempt that has ended was in each phase, on Kubernetes. */
  readonly phases?: AttemptPhases;
  readonly cache?: CallCache;
  readonly failure?: FailureInfo & { readonly logTail?: readonly string[] };
}

/** Everything a person wants to know of a run: the answer of the status query, `describe --json`, and the record in the store. */
export interface RunStatus {
  readonly runId: string;
  readonly executionId: string;
  readonly pipeline: string;
  readonly project: string;
  readonly build: string;
  /** Of the pipeline, where it has one. */
  readonly owner?: string;
  /** What all attempts that have ended cost, on pools that have a price. */
  readonly cost?: number;
  readonly budget?: BudgetStatus;
  readonly state: RunState;
  readonly parameters: { readonly [name: string]: Json };
  /** Key of the partition that it makes. */
  readonly partition?: string;
  readonly startedAtMs: number;
  readonly endedAtMs?: number;
  /** In the order in which they were called; at most {@link SHOWN_CALLS}, the newest. */
  readonly calls: readonly CallStatus[];
  readonly counts: { readonly [state in CallState]?: number };
  readonly continuations: number;
  /** The run whose finished work this one took up. */
  readonly retryOf?: RetryOrigin;
  /** Present while the run starts nothing new. */
  readonly paused?: Paused;
  /** Settings of steps that operators changed. */
  readonly changes?: { readonly [step: string]: StepSettings };
  /** The newest commands that were sent to running steps. */
  readonly commands?: readonly TakenCommand[];
  readonly tracking?: { readonly experimentId: string; readonly runId: string };
  /** Gates that wait now. */
  readonly approvals: readonly PendingApproval[];
  /** Every decision that counted, in the order in which they came. */
  readonly decisions?: readonly RecordedDecision[];
  /** What became of each gate that has opened, in that order. */
  readonly gates?: readonly GateRecord[];
  /** The newest decisions that came by signal and did not count. */
  readonly refusedDecisions?: readonly RefusedDecision[];
  readonly result?: Json;
  readonly failure?: FailureInfo;
}

/** Calls that a status holds at most. */
export const SHOWN_CALLS = 200;

/** An approval that waits for a decision. */
export interface PendingApproval {
  readonly gate: string;
  /** Digest of what is to be approved; a decision must carry it. */
  readonly digest: string;
  readonly subjectUri?: string;
  readonly openedAtMs: number;
  readonly expiresAtMs?: number;
  /** How many different people must approve. */
  readonly quorum: number;
  /** Names of those who may decide now; absent: anybody. */
  readonly approvers?: readonly string[];
  /** When others may decide too, and who. */
  readonly escalation?: { readonly atMs: number; readonly approvers: readonly string[] };
  /** The run's starter, where they may not decide. */
  readonly excluded?: string;
  /** Nothing proves who started the run, so one more approval than the code says is needed. */
  readonly startUnproven?: true;
  /** Decisions without a signature count. */
  readonly allowUnverified: boolean;
  /** What an approver may set. */
  readonly form?: { readonly [name: string]: ParameterSchema };
  /** What people have decided so far. */
  readonly decided: readonly {
    readonly by: string;
    readonly decision: 'approve' | 'reject';
    readonly verified: boolean;
    readonly comment?: string;
  }[];
}

/** Longest workflow id that is used as it is; Temporal's limit is 1,000. */
const ID_LIMIT = 200;

/**
 * A run id as one path segment or URL-safe name: percent-escaped, and where that is longer than 200 characters its first 150
 * and a hash, with a `~` between them that no escaped id has.
 */
export function toPathSegment(runId: string): string {
  const escaped = encodeURIComponent(runId).replace(
    /[!'()*.~]/g,
    (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`,
  );
  return escaped.length <= ID_LIMIT
    ? escaped
    : `${escaped.slice(0, 150)}~${digestOfText(runId).slice(0, 32)}`;
}

/** Task queue of the workers that run a project's pipelines and tasks. */
export function pipelinesTaskQueue(project: string): string {
  return `${project}/pipelines`;
}

/** Task queue of Anneal's own workflows and of the activities that talk to MLflow, the store and people. */
export function systemTaskQueue(project: string): string {
  return `${project}/anneal`;
}

/** Task queue of a host for what must never wait for a slot of a pool: ending attempts. */
export function controlTaskQueue(project: string, host: string): string {
  return `${project}/control@${host}`;
}

/** Task queue for what must never wait for a slot on Kubernetes: any worker of its pools can end any of its attempts. */
export function clusterControlTaskQueue(project: string): string {
  return `${project}/control`;
}

/** Task queue of a Kubernetes pool: its capacity is the cluster's. */
export function clusterPoolTaskQueue(project: string, pool: string): string {
  return `${project}/${pool}`;
}

/** Task queue of a process pool: its capacity, and its orphans, are its host's. */
export function processPoolTaskQueue(project: string, pool: string, host: string): string {
  return `${project}/${pool}@${host}`;
}
