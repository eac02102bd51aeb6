import type { V1Job } from '@kubernetes/client-node';
import { FOREIGN_LABELS } from '../labels.js';
import type { Diagnosis, DiagnosedFailure, SeenAttempt } from './diagnosis.js';
import { readKueueWait } from './kueue-workload.js';
import { isSuspended, said, suspensionMs, timeOf } from './pod-facts.js';

/** A Job that has no pod now: Kueue holds it, a quota is used up, or something refuses its pods. */
export function diagnoseWithoutPod(seen: SeenAttempt, job: V1Job): Diagnosis {
  const createdMs = timeOf(job.metadata?.creationTimestamp) ?? seen.nowMs;
  // A Job that had a pod before waits anew.
  const before = seen.pods.at(-1)?.metadata;
  const sinceMs = Math.max(
    createdMs,
    suspensionMs(job) ?? 0,
    timeOf(before?.deletionTimestamp ?? before?.creationTimestamp) ?? 0,
  );
  const waiting = (detail: string | undefined, fromMs: number, failure?: DiagnosedFailure): Diagnosis => ({
    state: 'active',
    phase: 'queued',
    sinceMs: fromMs,
    mainEnded: false,
    ...(detail === undefined ? {} : { detail }),
    limit: {
      atMs: fromMs + (failure === undefined ? seen.maxPendingMs : GRACE_MS),
      failure: failure ?? pendingTooLong(seen, detail),
    },
  });
  if (isSuspended(job)) {
    const held = diagnoseSuspended(seen, job, createdMs);
    return waiting(held.detail, held.sinceMs, held.failure);
  }
  const refusal = seen.events.filter(({ reason }) => reason === 'FailedCreate').at(-1);
  if (refusal === undefined) return waiting(undefined, sinceMs);
  const message = said(refusal.message);
  if (/exceeded quota/.test(message)) return waiting(`quota: ${quotaOf(message)}`, sinceMs);
  const failure = {
    code: 'PodRefused',
    message: `Kubernetes refuses its pod: ${message}. Correct the settings of the step or of pool "${seen.pool}", or have the rule changed.`,
  } as const;
  return PERMANENT.test(message) ? { state: 'ended', failure } : waiting(message, sinceMs, failure);
}

/** What no wait was long enough for. */
export function pendingTooLong(seen: SeenAttempt, detail: string | undefined): DiagnosedFailure {
  const minutes = Math.round(seen.maxPendingMs / 6_000) / 10;
  const why = detail === undefined ? 'Kubernetes does not say why' : detail;
  return {
    code: 'PendingTooLong',
    message: `It waited ${minutes} minutes, the maxPending of pool "${seen.pool}", for a place: ${why}. Ask for less, add nodes or quota, or raise pools.${seen.pool}.maxPending.`,
  };
}

/** Something that is only just being made, such as a service account. */
const GRACE_MS = 60_000;
const PERMANENT =
  /violates PodSecurity|denied the request|ValidatingAdmissionPolicy|is invalid|no PriorityClass with name/;

function quotaOf(message: string): string {
  return /exceeded quota: .*/.exec(message)?.[0] ?? message;
}

interface Suspended {
  readonly detail: string;
  readonly sinceMs: number;
  readonly failure?: DiagnosedFailure;
}

/** Kueue says on the Job's Workload why it waits; of an account that may not read that there are the Job's own events. */
function diagnoseSuspended(seen: SeenAttempt, job: V1Job, createdMs: number): Suspended {
  const sinceMs = suspensionMs(job) ?? createdMs;
  const queue = job.metadata?.labels?.[FOREIGN_LABELS.kueueQueue];
  if (queue === undefined) return { detail: 'its Job is suspended, and not by Anneal', sinceMs };
  const wait = readKueueWait(seen.workloads ?? []);
  const stopped = seen.events.filter(({ reason }) => reason === 'Stopped').at(-1);
  const why = wait.why ?? (stopped === undefined ? '' : said(stopped.message));
  // The first thing that Kueue does to a Job is to stop it: that it was never started is no requeuing.
  const requeued = wait.requeued || (wait.why === undefined && TAKEN.test(stopped?.message ?? ''));
  const detail = requeued
    ? `requeued by Kueue in queue "${queue}": ${why}`
    : `waits in Kueue's queue "${queue}"${why === '' ? '' : `: ${why}`}`;
  // A queue that vanishes later, as when somebody makes it anew, is waited for.
  if (wait.misnamed && seen.nowMs - createdMs < 2 * GRACE_MS)
    return {
      detail,
      sinceMs: createdMs,
      failure: {
        code: 'PodRefused',
        message: `Kueue cannot queue its Job: ${why}. Make the queue, or correct pools.${seen.pool}.queue or the queue of the step.`,
      },
    };
  return { detail, sinceMs: wait.sinceMs ?? sinceMs };
}

const TAKEN = /preempt|evict|deactivat|stopped/i;
