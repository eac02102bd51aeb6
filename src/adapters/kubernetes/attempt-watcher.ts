import type { V1Job, V1Pod } from '@kubernetes/client-node';

/** What is known of an attempt. */
export interface AttemptView {
  readonly job?: V1Job;
  /** Oldest first; usually one. */
  readonly pods: readonly V1Pod[];
}

/** The Jobs and Pods of a project, kept current by one list-and-watch each. */
export interface AttemptWatcher {
  start(): void;
  /** Resolves when nothing of it runs any more. */
  stop(): Promise<void>;
  /** Resolves when Jobs and Pods have been listed once. @throws KubernetesApiError when the first list is refused for good. */
  ready(): Promise<void>;
  view(jobName: string): AttemptView;
  /** Every Job that is known. */
  jobs(): readonly V1Job[];
  /** Calls on every change of the Job or a pod of it, and after each new list. Never throws into the watch. @returns what ends it. */
  onChange(jobName: string, listener: () => void): () => void;
  /** Puts in the answer of a create or read, so that an attempt is never thought gone because the watch lags. */
  seen(job: V1Job): void;
  /** Jobs that somebody listens to. */
  readonly watchedJobs: number;
  /** 0 while both watches are open, else the time since the first of them broke. */
  readonly lagMs: number;
}
