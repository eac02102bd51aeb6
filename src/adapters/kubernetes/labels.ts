import { POD_PROGRAMS } from '../../core/pod-layout.js';

/**
 * Every name that Anneal gives to something on Kubernetes, or relies on there, as data; docs/kubernetes.md lists them, and a test
 * compares the two.
 */

/** Labels of Jobs and their pods. Values are made valid by `toLabelValue`; the whole texts are annotations. */
export const LABELS = {
  managedBy: 'app.kubernetes.io/managed-by',
  partOf: 'app.kubernetes.io/part-of',
  name: 'app.kubernetes.io/name',
  instance: 'app.kubernetes.io/instance',
  project: 'anneal.dev/project',
  pipeline: 'anneal.dev/pipeline',
  step: 'anneal.dev/step',
  pool: 'anneal.dev/pool',
  run: 'anneal.dev/run',
  attempt: 'anneal.dev/attempt',
} as const;

/** Value of {@link LABELS.managedBy}: what the watcher, the reaper and `anneal gc --jobs` select by. */
export const MANAGED_BY = 'anneal';

/** Labels of others that Anneal sets or reads. */
export const FOREIGN_LABELS = {
  /** Set where a pool names a `queue`. */
  kueueQueue: 'kueue.x-k8s.io/queue-name',
  /** Put by Kueue on what it keeps of a Job. */
  kueueJobUid: 'kueue.x-k8s.io/job-uid',
  /** Put on pods by the Job controller. */
  jobName: 'batch.kubernetes.io/job-name',
} as const;

/** Annotations of Jobs and their pods: what is too long for a label, or is not selected by. */
export const ANNOTATIONS = {
  /** sha256 of the attempt's request: a Job of the same name with another one is not adopted. */
  specHash: 'anneal.dev/spec-hash',
  /** Temporal's namespace, workflow id and run id of the execution that asked. */
  temporalNamespace: 'anneal.dev/temporal-namespace',
  runId: 'anneal.dev/run-id',
  epoch: 'anneal.dev/epoch',
  executionId: 'anneal.dev/execution-id',
  /** Name of the attempt's call and its place: what its name is made of. */
  callId: 'anneal.dev/call-id',
  index: 'anneal.dev/index',
  /** Time between SIGTERM and SIGKILL in milliseconds: what the reaper gives. */
  stopGrace: 'anneal.dev/stop-grace-ms',
  safeToEvict: 'cluster-autoscaler.kubernetes.io/safe-to-evict',
} as const;

/** Containers of a pod, in the order of their start. */
export const CONTAINERS = { fetch: 'fetch', agent: 'agent', main: 'main' } as const;

/** Volumes of a pod. Volumes of the pool and scratch space get `pool-` and `scratch`. */
export const VOLUMES = {
  anneal: 'anneal',
  sharedMemory: 'shm',
  storeToken: 'store-token',
  scratch: 'scratch',
} as const;

/** Paths beside the shared volume, whose layout is `src/core/pod-layout.ts`. */
export const POD_PATHS = {
  sharedMemory: '/dev/shm',
  storeToken: '/var/run/secrets/anneal',
  storeTokenFile: '/var/run/secrets/anneal/token',
  scratch: '/scratch',
  /** In `fetch` alone: claims whose contents are inputs. */
  mounts: '/mounts',
} as const;

/** Programs in the image of ours. */
export const IMAGE_PROGRAMS = {
  fetch: ['node', `${POD_PROGRAMS}/pod-fetch.js`],
  // It runs beside every step: with less room for short-lived objects it takes 75 MB instead of 90.
  agent: ['node', '--max-semi-space-size=1', `${POD_PROGRAMS}/pod-agent.js`],
} as const;

/** AWS's variables of `fetch` and `agent`, beside `podVariables`; none of them is in `main`. */
export const STORE_ENV = {
  accessKeyId: 'AWS_ACCESS_KEY_ID',
  secretAccessKey: 'AWS_SECRET_ACCESS_KEY',
  sessionToken: 'AWS_SESSION_TOKEN',
  webIdentityTokenFile: 'AWS_WEB_IDENTITY_TOKEN_FILE',
  roleArn: 'AWS_ROLE_ARN',
} as const;

/** Keys of the Secret that `kubernetes.store.secret` names. */
export const STORE_SECRET_KEYS = {
  accessKeyId: 'access-key-id',
  secretAccessKey: 'secret-access-key',
  sessionToken: 'session-token',
} as const;

/** Seconds that a Job is kept: after its end at first, and once how it ended is in the store. */
export const JOB_TTL = { created: 7 * 86_400, settled: 600 } as const;

/** Label values have 63 characters of letters, digits, `-`, `_` and `.`, and begin and end with a letter or digit. */
export function toLabelValue(text: string): string {
  const clean = text.replace(/[^A-Za-z0-9_.-]+/g, '-').slice(0, 63);
  return clean.replace(/^[^A-Za-z0-9]+/, '').replace(/[^A-Za-z0-9]+$/, '');
}

/** Selects what belongs to a project. */
export function projectSelector(project: string): string {
  return `${LABELS.managedBy}=${MANAGED_BY},${LABELS.project}=${toLabelValue(project)}`;
}
