import type { Approver } from '../core/approval.js';
import type { NotifyOptions } from '../core/notification-routes.js';
import type { KubernetesPlacement, KubernetesSettings } from '../core/kubernetes.js';
import type { Pool } from '../core/pools.js';
import type { RetentionPolicy } from '../core/retention.js';
import type { S3Settings, StoreLocation } from '../core/store-location.js';

/** A project's settings with defaults filled in and paths absolute. */
export interface ProjectConfig {
  /** Directory of anneal.yaml: paths of steps are relative to it. */
  readonly root: string;
  /** anneal.yaml itself. */
  readonly file: string;
  readonly project: string;
  /** Module that exports the pipelines. */
  readonly pipelines: string;
  /** Module that exports the tasks. */
  readonly activities?: string;
  /** In the order of anneal.yaml, which is the order in which a step looks for one that fits. */
  readonly pools: { readonly [name: string]: PoolConfig };
  /** Where Jobs run; absent: no pool is on Kubernetes. */
  readonly kubernetes?: KubernetesSettings;
  readonly store: StoreLocation;
  /** Where workers get builds from: the project's directory on their machine, or the store. Always the directory where Temporal is local. */
  readonly builds: 'directory' | 'store';
  readonly data: {
    /** Hosts that datasets may be read from although they are no public ones, or by `http://`. */
    readonly allowHosts: readonly string[];
    /** How buckets of datasets are reached: as the store's, with the same variables and profiles. */
    readonly s3: S3Settings;
  };
  /** People who may decide on approvals, in the order of anneal.yaml. */
  readonly approvers: readonly Approver[];
  /** Names of approvers by group. */
  readonly groups: { readonly [name: string]: readonly string[] };
  /** What `anneal gc` keeps. */
  readonly retention: RetentionPolicy;
  /** File with local secrets. */
  readonly secrets?: string;
  readonly mlflow: {
    readonly uri?: string;
    /** Secret (keys `username` and `password`) whose values tracked steps get as MLflow credentials. */
    readonly stepCredentials?: string;
  };
  readonly temporal: { readonly address?: string; readonly namespace: string; readonly uiUrl?: string };
  readonly smtp: {
    readonly url?: string;
    readonly from?: string;
    /** Secret (keys `username` and `password`) for the mail server. */
    readonly secret?: string;
  };
  /** Channels beside e-mail, by name. */
  readonly notifiers: { readonly [name: string]: NotifierConfig };
  /** Who is told of the runs of all pipelines. */
  readonly notify: NotifyOptions;
}

/** One pool of anneal.yaml. */
export interface PoolConfig {
  readonly executor: Pool['executor'];
  /** Attempts at a time; absent: the host's cores, or as many as a worker may watch on Kubernetes. */
  readonly slots?: number;
  readonly cpu?: number;
  readonly memory?: string;
  readonly gpu: number;
  readonly gpuType?: string;
  readonly gpuOptional: boolean;
  /** Largest that one attempt may ask of its node's disk; absent: not limited. */
  readonly ephemeralStorage?: string;
  /** Of a Kubernetes pool. Stays with the worker: no run's history holds it. */
  readonly placement?: KubernetesPlacement;
}

/** One notifier of anneal.yaml; `secret` has the key `url` (Slack) or `key` (webhook). */
export type NotifierConfig =
  | { readonly type: 'slack'; readonly secret: string }
  | { readonly type: 'webhook'; readonly secret: string; readonly url: string };
