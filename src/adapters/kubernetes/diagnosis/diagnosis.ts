import type { CoreV1Event, V1Job, V1Pod } from '@kubernetes/client-node';
import type { AttemptProgress } from '../../../activities/ports/executor.js';
import type { FailureCode } from '../../../core/failures.js';
import type { KueueWorkload } from './kueue-workload.js';

/** What Kubernetes shows of an attempt. */
export interface SeenAttempt {
  readonly step: string;
  readonly pool: string;
  readonly job?: V1Job;
  /** Oldest first; those that are gone as they were last seen. */
  readonly pods: readonly V1Pod[];
  /** Uids of pods that are gone. */
  readonly gone: ReadonlySet<string>;
  /** Of the Job and its pods, newest last. */
  readonly events: readonly CoreV1Event[];
  /** What Kueue keeps of the Job. */
  readonly workloads?: readonly KueueWorkload[];
  readonly maxPendingMs: number;
  readonly nowMs: number;
}

/** How an attempt failed, as far as Kubernetes can tell. */
export interface DiagnosedFailure {
  readonly code: FailureCode;
  /** One sentence or two, without the step's name. */
  readonly message: string;
  readonly exitCode?: number;
  readonly signal?: string;
}

/** What an attempt is doing, or how it ended. */
export type Diagnosis =
  | {
      readonly state: 'active';
      readonly phase: AttemptProgress['phase'];
      readonly sinceMs: number;
      /** Why it is still in that phase. */
      readonly detail?: string;
      /** How it fails if it is still so at that time. */
      readonly limit?: { readonly atMs: number; readonly failure: DiagnosedFailure };
      /** `main` has ended, so that the store may know how. */
      readonly mainEnded: boolean;
    }
  | {
      readonly state: 'ended';
      readonly failure: DiagnosedFailure;
      /** When the step's container was started and ended, where it was. */
      readonly startedAtMs?: number;
      readonly endedAtMs?: number;
    };
