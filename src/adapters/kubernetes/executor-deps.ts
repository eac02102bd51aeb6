import type { ArtifactStore } from '../../core/artifact-store.js';
import type { KubernetesPlacement, KubernetesSettings } from '../../core/kubernetes.js';
import type { S3Settings } from '../../core/store-location.js';
import type { KubernetesApi } from './api.js';
import type { AttemptWatcher } from './attempt-watcher.js';

/** What the Kubernetes executor needs; one of it serves all pools of a worker. */
export interface KubernetesExecutorDeps {
  readonly api: KubernetesApi;
  /** Started by whoever makes it. */
  readonly watcher: AttemptWatcher;
  readonly store: ArtifactStore;
  readonly project: string;
  readonly settings: Pick<KubernetesSettings, 'image' | 'store' | 'jobsPerSecond'>;
  /** How the pods of a pool are made; `undefined`: this worker's anneal.yaml has no such pool. */
  readonly placementOf: (
    pool: string,
  ) => { readonly placement: KubernetesPlacement; readonly ephemeralStorage?: string } | undefined;
  /** How pods reach an S3 store; their credentials come from the cluster. */
  readonly s3?: S3Settings;
  /** How datasets outside the store are read. */
  readonly data?: { readonly allowHosts: readonly string[]; readonly s3: S3Settings };
  /** Secret with keys `username` and `password`: MLflow credentials for the commands of tracked steps. */
  readonly mlflowSecret?: string;
  /** Sees to it that the step's code of a build is in the store. */
  readonly shipCode: (code: { readonly build: string; readonly step: string }) => Promise<void>;
  readonly clock: { nowMs(): number };
  readonly log: (message: string) => void;
  readonly uploadTimeoutMs?: number;
  readonly checkpointSettleMs?: number;
  /** Between looks for new points of a metrics stream. Default 5 s. */
  readonly metricsEveryMs?: number;
}
