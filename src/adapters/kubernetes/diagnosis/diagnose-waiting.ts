import type { V1ContainerStatus, V1Pod } from '@kubernetes/client-node';
import { CONTAINERS } from '../labels.js';
import { ownFault } from './diagnose-end.js';
import { pendingTooLong } from './diagnose-without-pod.js';
import type { Diagnosis, DiagnosedFailure, SeenAttempt } from './diagnosis.js';
import { conditionOf, containerStatuses, said, timeOf } from './pod-facts.js';

/** A pod whose step has not begun: it waits for a node, for images, for its volumes, or fetches. */
export function diagnoseWaiting(seen: SeenAttempt, pod: V1Pod): Diagnosis {
  const createdMs = timeOf(pod.metadata?.creationTimestamp) ?? seen.nowMs;
  if (conditionOf(pod, 'PodScheduled')?.status !== 'True' && pod.spec?.nodeName === undefined)
    return diagnoseUnscheduled(seen, pod, createdMs);
  const statuses = containerStatuses(pod);
  const sinceMs = sinceOf(pod, statuses) ?? createdMs;
  for (const status of statuses) {
    const found = diagnoseContainer(seen, status, sinceMs);
    if (found) return found;
  }
  return diagnoseStarting(seen, statuses, sinceMs);
}

function diagnoseUnscheduled(seen: SeenAttempt, pod: V1Pod, sinceMs: number): Diagnosis {
  const message = conditionOf(pod, 'PodScheduled')?.message;
  const detail = message === undefined ? undefined : said(message);
  return active('queued', sinceMs, {
    ...(detail === undefined ? {} : { detail }),
    limit: { atMs: sinceMs + seen.maxPendingMs, failure: pendingTooLong(seen, detail) },
  });
}

function diagnoseStarting(
  seen: SeenAttempt,
  statuses: readonly V1ContainerStatus[],
  sinceMs: number,
): Diagnosis {
  const stateOf = (container: string) => statuses.find(({ name }) => name === container)?.state;
  const fetch = stateOf(CONTAINERS.fetch);
  if (fetch?.running) return active('preparing', timeOf(fetch.running.startedAt) ?? sinceMs);
  const mount = seen.events
    .filter(({ reason }) => reason === 'FailedMount' || reason === 'FailedAttachVolume')
    .at(-1);
  const detail = mount === undefined ? undefined : said(mount.message);
  // Between the first two containers the node has our image already; before them, and when the agent runs, it pulls one.
  const isBetween = fetch?.terminated !== undefined && stateOf(CONTAINERS.agent)?.running === undefined;
  return active(isBetween ? 'preparing' : 'pulling', sinceMs, {
    ...(detail === undefined ? {} : { detail }),
    limit: {
      atMs: sinceMs + Math.max(seen.maxPendingMs, STARTING_MS),
      failure: pendingTooLong(seen, detail ?? 'its containers were not started'),
    },
  });
}

const STARTING_MS = 1_800_000;
/** An image that is being pushed, a registry that limits. */
const PULL_GRACE_MS = 240_000;
/** A secret or config map that is only just being made. */
const CONFIG_GRACE_MS = 60_000;
const CREATE_GRACE_MS = 180_000;

/** Reasons of a waiting container that do not pass by themselves, and for how long they may all the same. */
const REASONS: { readonly [reason: string]: { readonly graceMs: number; readonly failure: FailureOf } } = {
  InvalidImageName: { graceMs: 0, failure: imageFailure },
  ErrImageNeverPull: { graceMs: 0, failure: imageFailure },
  ErrImagePull: { graceMs: PULL_GRACE_MS, failure: imageFailure },
  ImagePullBackOff: { graceMs: PULL_GRACE_MS, failure: imageFailure },
  ImageInspectError: { graceMs: PULL_GRACE_MS, failure: imageFailure },
  RegistryUnavailable: { graceMs: PULL_GRACE_MS, failure: imageFailure },
  SignatureValidationFailed: { graceMs: PULL_GRACE_MS, failure: imageFailure },
  CreateContainerConfigError: { graceMs: CONFIG_GRACE_MS, failure: configFailure },
  CreateContainerError: { graceMs: CREATE_GRACE_MS, failure: startFailure },
  RunContainerError: { graceMs: CREATE_GRACE_MS, failure: startFailure },
  PostStartHookError: { graceMs: CREATE_GRACE_MS, failure: startFailure },
  CrashLoopBackOff: { graceMs: CREATE_GRACE_MS, failure: crashFailure },
};

type FailureOf = (seen: SeenAttempt, status: V1ContainerStatus, message: string) => DiagnosedFailure;

function diagnoseContainer(
  seen: SeenAttempt,
  status: V1ContainerStatus,
  sinceMs: number,
): Diagnosis | undefined {
  const { reason = '', message } = status.state?.waiting ?? {};
  const known = Object.hasOwn(REASONS, reason) ? REASONS[reason] : undefined;
  if (known === undefined) return undefined;
  const failure = known.failure(seen, status, said(message));
  if (known.graceMs === 0) return { state: 'ended', failure };
  return active(reason === 'CrashLoopBackOff' ? 'preparing' : 'pulling', sinceMs, {
    detail: said(message) || reason,
    limit: { atMs: sinceMs + known.graceMs, failure },
  });
}

function crashFailure(_seen: SeenAttempt, { name, lastState }: V1ContainerStatus): DiagnosedFailure {
  const { exitCode = '?', reason, message } = lastState?.terminated ?? {};
  const fault = ownFault(name, lastState?.terminated ?? {});
  if (fault) return fault;
  const why = `exit code ${exitCode}${reason === undefined ? '' : `, ${reason}`}`;
  return {
    code: 'AttemptLost',
    message: `Anneal's container "${name}" keeps ending (${why}): ${said(message)}.`,
  };
}

function imageFailure(
  seen: SeenAttempt,
  { name, image }: V1ContainerStatus,
  message: string,
): DiagnosedFailure {
  if (
    /429|too ?many ?requests|toomanyrequests|\b5\d\d\b.*(server|service|gateway)|i\/o timeout|connection refused|no such host|TLS handshake timeout|unexpected EOF/i.test(
      message,
    )
  )
    return {
      code: 'RegistryUnavailable',
      message: `The registry of image ${image} does not give it: ${message}.`,
    };
  const whose =
    name === CONTAINERS.main
      ? `image: of the step or of pool "${seen.pool}"`
      : 'kubernetes.image in anneal.yaml';
  return {
    code: 'ImagePullFailed',
    message: `Image ${image} cannot be pulled: ${message}. Correct ${whose}, or give the pool imagePullSecrets.`,
  };
}

function configFailure(_seen: SeenAttempt, _status: V1ContainerStatus, message: string): DiagnosedFailure {
  return /secret/i.test(message)
    ? {
        code: 'SecretMissing',
        message: `Something that it takes from a Secret is not in the namespace: ${message}. Make it there, or correct env: of the step.`,
      }
    : {
        code: 'PodRefused',
        message: `Its container cannot be set up: ${message}. Make what is missing, or correct the step.`,
      };
}

function startFailure(
  _seen: SeenAttempt,
  { name, image }: V1ContainerStatus,
  message: string,
): DiagnosedFailure {
  return {
    code: 'ContainerStartFailed',
    message: `Container "${name}" cannot be started from image ${image}: ${message}. Use an image for the nodes' processor that has what its settings name.`,
  };
}

/** Since when the pod has been at its present stage: the node's own, or that after the last container that started or ended. */
function sinceOf(pod: V1Pod, statuses: readonly V1ContainerStatus[]): number | undefined {
  const times = statuses.flatMap(
    ({ state }) => timeOf(state?.terminated?.finishedAt ?? state?.running?.startedAt) ?? [],
  );
  const bound = timeOf(conditionOf(pod, 'PodScheduled')?.lastTransitionTime) ?? timeOf(pod.status?.startTime);
  const all = bound === undefined ? times : [bound, ...times];
  return all.length === 0 ? undefined : Math.max(...all);
}

function active(
  phase: Extract<Diagnosis, { state: 'active' }>['phase'],
  sinceMs: number,
  more: Pick<Extract<Diagnosis, { state: 'active' }>, 'detail' | 'limit'> = {},
): Diagnosis {
  return { state: 'active', phase, sinceMs, mainEnded: false, ...more };
}
