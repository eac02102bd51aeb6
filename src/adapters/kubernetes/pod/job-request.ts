import type { AttemptLaunch } from '../../../activities/ports/executor.js';
import type { KubernetesPlacement, StoreAccess } from '../../../core/kubernetes.js';
import type { PodLaunch } from '../../../core/pod-launch.js';
import type { S3Settings } from '../../../core/store-location.js';

/** Everything that an attempt's Job is made from. */
export interface JobRequest {
  readonly launch: PodLaunch;
  readonly owner: AttemptLaunch['owner'];
  readonly placement: KubernetesPlacement;
  /** Largest that the pool lets one attempt ask of its node's disk. */
  readonly maxEphemeralStorage?: string;
  readonly namespace: string;
  /** Image of ours. */
  readonly agentImage: string;
  readonly store: {
    readonly uri: string;
    /** URI of an object by its key. */
    readonly uriOf: (key: string) => string;
    readonly s3?: S3Settings;
    readonly access?: StoreAccess;
  };
  /** Secret with keys `username` and `password`: MLflow credentials for the commands of tracked steps. */
  readonly mlflowSecret?: string;
}
