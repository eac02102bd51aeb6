import type { V1Job } from '@kubernetes/client-node';
import { digestOf } from '../../../core/digest.js';
import { AnnealError } from '../../../core/failures.js';
import type { AttemptRequest } from '../../../core/attempt.js';
import { formatBytes } from '../../../core/quantity.js';
import { ANNOTATIONS, FOREIGN_LABELS, JOB_TTL, LABELS, MANAGED_BY, toLabelValue } from '../labels.js';
import { allowedOptions } from './allowed-options.js';
import { buildPod } from './build-pod.js';
import type { JobRequest } from './job-request.js';

/**
 * The Job of an attempt: one pod, once. The same request gives the same Job.
 * @throws AnnealError for what the pool does not let the step ask, or what no cluster would take, by name.
 */
export function buildJob(job: JobRequest): V1Job {
  const { launch, placement } = job;
  const options = allowedOptions(job);
  const labels = buildLabels(job);
  const queue = options.queue ?? placement.queue;
  const built: V1Job = {
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: {
      name: launch.name,
      namespace: job.namespace,
      labels: { ...labels, ...(queue !== undefined && { [FOREIGN_LABELS.kueueQueue]: queue }) },
      annotations: buildAnnotations(job),
    },
    spec: {
      backoffLimit: 0,
      completions: 1,
      parallelism: 1,
      podReplacementPolicy: 'Failed',
      ttlSecondsAfterFinished: JOB_TTL.created,
      // Admitted by Kueue alone, also while its webhook is away.
      ...(queue !== undefined && { suspend: true }),
      template: {
        metadata: { labels, annotations: { [ANNOTATIONS.safeToEvict]: 'false' } },
        spec: buildPod(job, options),
      },
    },
  };
  checkSize(built, launch.request.step);
  return built;
}

/** What makes a Job this attempt's and no other's: the digest of what the workflow asked. */
export function specHash(request: AttemptRequest): string {
  return digestOf(request);
}

/** Etcd takes 1.5 MiB, and the API server adds to what it is sent. */
const LARGEST_JOB = 1_000_000;

function checkSize(built: V1Job, step: string): void {
  const bytes = Buffer.byteLength(JSON.stringify(built));
  if (bytes > LARGEST_JOB)
    throw new AnnealError(
      'PodRefused',
      `Step "${step}": its Job would have ${formatBytes(bytes)}; Kubernetes takes about 1 MiB. Pass large values as parameters or inputs instead of in command or env.`,
    );
}

function buildLabels({ launch }: JobRequest): Record<string, string> {
  const { request, runId } = launch;
  const labels = {
    [LABELS.managedBy]: MANAGED_BY,
    [LABELS.partOf]: request.pipeline,
    [LABELS.name]: request.step,
    [LABELS.instance]: launch.name,
    [LABELS.project]: request.project,
    [LABELS.pipeline]: request.pipeline,
    [LABELS.step]: request.step,
    [LABELS.pool]: request.pool,
    [LABELS.run]: runId,
    [LABELS.attempt]: String(request.attempt),
  };
  return Object.fromEntries(Object.entries(labels).map(([name, value]) => [name, toLabelValue(value)]));
}

function buildAnnotations({ launch, owner }: JobRequest): Record<string, string> {
  const { request, runId } = launch;
  return {
    [ANNOTATIONS.specHash]: specHash(request),
    [ANNOTATIONS.runId]: runId,
    [ANNOTATIONS.executionId]: request.executionId,
    [ANNOTATIONS.callId]: request.callId,
    [ANNOTATIONS.index]: String(request.index),
    [ANNOTATIONS.stopGrace]: String(request.stopGraceMs),
    ...(owner && { [ANNOTATIONS.temporalNamespace]: owner.namespace, [ANNOTATIONS.epoch]: owner.epoch }),
  };
}
