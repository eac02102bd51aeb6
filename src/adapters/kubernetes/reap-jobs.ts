import type { V1Job } from '@kubernetes/client-node';
import { endJob } from './end-job.js';
import { ANNOTATIONS, LABELS } from './labels.js';
import type { KubernetesApi } from './api.js';

/** A Job of the API, for layers that know nothing of the client. */
export type ApiJob = V1Job;

/** A Job of an attempt that has not ended, and which execution asked for it. */
export interface AttemptJob {
  readonly name: string;
  readonly uid: string;
  /** Workflow id. */
  readonly runId: string;
  /** Run id of the execution; absent in Jobs of early versions. */
  readonly epoch?: string;
  /** Temporal's namespace. */
  readonly temporalNamespace?: string;
  readonly step?: string;
  readonly pool?: string;
  readonly createdAtMs: number;
  readonly stopGraceMs: number;
}

/** Jobs of attempts that still run or wait; those that have ended go by themselves. */
export function readAttemptJobs(jobs: readonly V1Job[]): readonly AttemptJob[] {
  return jobs.filter((job) => !isOver(job)).flatMap(readAttemptJob);
}

/** What a stop takes where a Job does not say. */
const STOP_GRACE_MS = 30_000;

function readAttemptJob({ metadata = {} }: V1Job): AttemptJob[] {
  const { name, uid, labels = {}, annotations = {}, creationTimestamp } = metadata;
  const runId = annotations[ANNOTATIONS.runId];
  if (name === undefined || uid === undefined || runId === undefined) return [];
  const epoch = annotations[ANNOTATIONS.epoch];
  const temporalNamespace = annotations[ANNOTATIONS.temporalNamespace];
  const { [LABELS.step]: step, [LABELS.pool]: pool } = labels;
  const grace = Number(annotations[ANNOTATIONS.stopGrace]);
  return [
    {
      name,
      uid,
      runId,
      ...(epoch === undefined ? {} : { epoch }),
      ...(temporalNamespace === undefined ? {} : { temporalNamespace }),
      ...(step === undefined ? {} : { step }),
      ...(pool === undefined ? {} : { pool }),
      createdAtMs: creationTimestamp === undefined ? 0 : new Date(creationTimestamp).getTime(),
      stopGraceMs: Number.isFinite(grace) && grace >= 0 ? grace : STOP_GRACE_MS,
    },
  ];
}

function isOver({ status }: V1Job): boolean {
  return (status?.conditions ?? []).some(
    (condition) =>
      condition.status === 'True' && (condition.type === 'Complete' || condition.type === 'Failed'),
  );
}

/**
 * Ends the Job: its pods with their grace, then itself, unless another one has its name by now. Resolves when both are gone.
 * @returns false where it was gone, or was another.
 */
export async function reapJob(api: KubernetesApi, { name, uid, stopGraceMs }: AttemptJob): Promise<boolean> {
  const there = await api.readJob(name);
  if (there?.metadata?.uid !== uid) return false;
  await endJob({ api, throttle: async () => await Promise.resolve() }, { name, uid, graceMs: stopGraceMs });
  return true;
}
