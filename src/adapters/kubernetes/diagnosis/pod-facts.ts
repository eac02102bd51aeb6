import type { V1ContainerStatus, V1Job, V1Pod, V1PodCondition } from '@kubernetes/client-node';
import { CONTAINERS } from '../labels.js';

/** A time as lists (`Date`) and watches (text) give it. */
export function timeOf(value: unknown): number | undefined {
  const at = value instanceof Date ? value.getTime() : typeof value === 'string' ? Date.parse(value) : NaN;
  return Number.isNaN(at) ? undefined : at;
}

/** The status of one of a pod's containers, ours among the init containers. */
export function containerStatus(pod: V1Pod, name: string): V1ContainerStatus | undefined {
  const { initContainerStatuses = [], containerStatuses = [] } = pod.status ?? {};
  return [...initContainerStatuses, ...containerStatuses].find((status) => status.name === name);
}

/** Statuses in the order in which the containers start. */
export function containerStatuses(pod: V1Pod): V1ContainerStatus[] {
  return Object.values(CONTAINERS).flatMap((name) => containerStatus(pod, name) ?? []);
}

/** A condition that holds. */
export function conditionOf(pod: V1Pod, type: string): V1PodCondition | undefined {
  return pod.status?.conditions?.find((condition) => condition.type === type);
}

/** Whether no container of the pod will run any more. */
export function isTerminal(pod: V1Pod): boolean {
  return pod.status?.phase === 'Failed' || pod.status?.phase === 'Succeeded';
}

/**
 * Whether the cluster has not heard of the pod's node for a while: its node controller then says that the pod is not ready, without a reason, and
 * leaves what the kubelet said last of its containers. No right to see nodes is needed for that.
 */
export function isNodeAway(pod: V1Pod): boolean {
  if (pod.status?.reason === 'NodeLost') return true;
  const ready = conditionOf(pod, 'Ready');
  return (
    ready?.status === 'False' &&
    (ready.reason ?? '') === '' &&
    conditionOf(pod, 'ContainersReady')?.status === 'True'
  );
}

/** Whether the step's container has ended. */
export function hasMainEnded(pod: V1Pod): boolean {
  return containerStatus(pod, CONTAINERS.main)?.state?.terminated !== undefined;
}

/** Whether the Job has ended for good, or is about to. */
export function isFinished(job: V1Job): boolean {
  return (job.status?.conditions ?? []).some(
    ({ type, status }) =>
      status === 'True' && ['Complete', 'Failed', 'FailureTarget', 'SuccessCriteriaMet'].includes(type),
  );
}

/** Whether the Job waits for somebody, such as Kueue, to let it go. */
export function isSuspended(job: V1Job): boolean {
  return job.spec?.suspend === true;
}

/** Whether it is suspended, or was resumed just now and has not got its next pod. */
export function isHeld(job: V1Job): boolean {
  return isSuspended(job) || suspension(job)?.status === 'True';
}

/** When somebody suspended or resumed the Job last, as its controller saw it. */
export function suspensionMs(job: V1Job): number | undefined {
  return timeOf(suspension(job)?.lastTransitionTime);
}

function suspension(job: V1Job) {
  return job.status?.conditions?.find(({ type }) => type === 'Suspended');
}

/** A text of Kubernetes as the end of a sentence. */
export function said(message: string | undefined): string {
  const text = (message ?? '').trim().replace(/\s+/g, ' ').replace(/\.$/, '');
  return text.length > LONGEST ? `${text.slice(0, LONGEST)} ...` : text;
}

const LONGEST = 400;
