/** What a step asks of Kubernetes beside its resources. A pool's operator decides which of these a step may set. */
export interface KubernetesOptions {
  /** Labels that a node must have. */
  readonly nodeSelector?: { readonly [label: string]: string };
  /** Labels of which a node must have one of the values. */
  readonly nodeAffinity?: { readonly [label: string]: readonly string[] };
  readonly tolerations?: readonly Toleration[];
  readonly priorityClass?: string;
  readonly runtimeClass?: string;
  /** An account of the pool's `serviceAccounts`: the step's own access, such as to the storage that it streams from. */
  readonly serviceAccount?: string;
  /** Numeric user of all containers of the pod. */
  readonly user?: number;
  /** Kueue's local queue. */
  readonly queue?: string;
  /** Where volumes of the pool are mounted, by the pool's name for them. */
  readonly volumes?: { readonly [name: string]: string };
  /** Values of config maps as environment. */
  readonly configMaps?: { readonly [variable: string]: { readonly name: string; readonly key: string } };
  /** Secrets and config maps as files, by the directory where their keys appear. */
  readonly files?: {
    readonly [directory: string]: { readonly secret: string } | { readonly configMap: string };
  };
}

/** A taint of nodes that a pod accepts. */
export interface Toleration {
  /** Absent: any, with `operator: Exists`. */
  readonly key?: string;
  readonly operator?: 'Equal' | 'Exists';
  readonly value?: string;
  readonly effect?: 'NoSchedule' | 'PreferNoSchedule' | 'NoExecute';
}

/** Options that a pool may let its steps set; the others are set by `serviceAccounts`, `secrets` and `volumes` of the pool themselves. */
export const STEP_OPTIONS = [
  'nodeSelector',
  'nodeAffinity',
  'tolerations',
  'priorityClass',
  'runtimeClass',
  'user',
  'queue',
  'configMaps',
  'files',
] as const satisfies readonly (keyof KubernetesOptions)[];

/** One of {@link STEP_OPTIONS}. */
export type StepOption = (typeof STEP_OPTIONS)[number];

/** Amounts of compute of one container; memory and storage are text such as `'8Gi'`. */
export interface ResourceDefaults {
  readonly cpu?: number;
  readonly memory?: string;
  readonly ephemeralStorage?: string;
}

/** How the pods of a pool are made and where they go: what an operator writes in anneal.yaml, never what a step says. */
export interface KubernetesPlacement {
  /** For steps that name none. */
  readonly image?: string;
  /** For steps that do not say. */
  readonly defaults: ResourceDefaults;
  /** Name of the pool's GPUs for the scheduler, such as `nvidia.com/gpu` or `nvidia.com/mig-1g.5gb`. */
  readonly gpuResource: string;
  readonly nodeSelector: { readonly [label: string]: string };
  readonly nodeAffinity: { readonly [label: string]: readonly string[] };
  readonly tolerations: readonly Toleration[];
  readonly priorityClass?: string;
  readonly runtimeClass?: string;
  readonly queue?: string;
  /** How long a pod may wait for a node, for quota or for Kueue. */
  readonly maxPendingMs: number;
  /** How long a pod may live, whatever its step says; absent: as long as an attempt may take at all. */
  readonly maxRuntimeMs?: number;
  /** Largest volume that a step may ask for as scratch; absent: no limit. */
  readonly maxScratch?: string;
  /** Numeric user of all containers; absent: the platform gives each pod one. */
  readonly user?: number;
  /** Accounts that steps may name. Pods of those that name none have the namespace's default, and no pod has a token of the API. */
  readonly serviceAccounts: readonly string[];
  /** Secrets that steps may name, in `env` and `files`. */
  readonly secrets: readonly string[];
  readonly imagePullSecrets: readonly string[];
  readonly volumes: { readonly [name: string]: PoolVolume };
  /** What steps may set themselves. */
  readonly allow: readonly StepOption[];
  readonly pricePerHour?: number;
}

/** A claim that steps of a pool may mount. */
export interface PoolVolume {
  readonly claim: string;
  readonly readOnly: boolean;
  /** URI of what lies at the root of the volume, such as a bucket or the store: inputs below it may be mounted. */
  readonly holds?: string;
}

/** How a project's pods reach its store: by a Secret, or by a token for an audience. */
export type StoreAccess =
  | { readonly secret: string }
  | { readonly audience: string; readonly roleArn?: string; readonly serviceAccount?: string };

/** A project's place on Kubernetes. */
export interface KubernetesSettings {
  /** Of the kubeconfig; absent: its current one, or the pod's own service account. */
  readonly context?: string;
  readonly namespace: string;
  /** The image of ours that fetches, watches and uploads in every pod. */
  readonly image: string;
  readonly store?: StoreAccess;
  /** Jobs that one worker creates in a second at most. */
  readonly jobsPerSecond: number;
  /** Attempts that one worker watches at a time, over all its pools. */
  readonly maxWatchedJobs: number;
}
