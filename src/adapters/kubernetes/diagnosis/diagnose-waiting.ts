import type { V1ContainerStatus, V1Pod } from '@kubernetes/client-node';
import { CONTAINERS } from '../labels.js';
import { pendingTooLong } from './diagnose-without-pod.js';
import type { Diagnosis, DiagnosedFailure, SeenAttempt } from './diagnosis.js';
import { conditionOf, containerStatuses, said, timeOf } from './pod-facts.js';

/** A pod whose step has not begun: it waits for a node, for images, for its volumes, or fetches. */
export function diagnoseWaiting(seen: SeenAttempt, pod: V1Pod): Diagnosis {
  const createdMs = timeOf(pod.metadata?.creationTimestamp) ?? seen.nowMs;
  const scheduled = conditionOf(pod, 'PodScheduled');
  if (scheduled?.status !== 'True' && pod.spec?.nodeName === undefined) {
    const detail = scheduled?.message === undefined ? undefined : said(scheduled.message);
    return active('queued', createdMs, {
      ...(detail === undefined ? {} : { detail }),
      limit: { atMs: createdMs + seen.maxPendingMs, failure: pendingTooLong(seen, detail) },
    });
  }
  const statuses = containerStatuses(pod);
  const sinceMs = sinceOf(pod, statuses) ?? createdMs;
  const fetch = statuses.find(({ name }) => name === CONTAINERS.fetch)?.state;
  for (const status of statuses) {
    const found = diagnoseContainer(seen, status, sinceMs);
    if (found) return found;
  }
  if (fetch?.running) return active('preparing', timeOf(fetch.running.startedAt) ?? sinceMs);
  const mount = seen.events
    .filter(({ reason }) => reason === 'FailedMount' || reason === 'FailedAttachVolume')
    .at(-1);
  const detail = mount === undefined ? undefined : said(mount.message);
  // What is between the containers is ours; what is before the first of them is the node's.
  return active(fetch?.terminated ? 'preparing' : 'pulling', sinceMs, {
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

function diagnoseContainer(
  seen: SeenAttempt,
  status: V1ContainerStatus,
  sinceMs: number,
): Diagnosis | undefined {
  const { waiting } = status.state ?? {};
  const message = said(waiting?.message);
  const within = (
    graceMs: number,
    failure: DiagnosedFailure,
    phase: 'pulling' | 'preparing' = 'pulling',
  ): Diagnosis =>
    active(phase, sinceMs, {
      detail: message || (waiting?.reason ?? ''),
      limit: { atMs: sinceMs + graceMs, failure },
    });
  switch (waiting?.reason) {
    case 'InvalidImageName':
    case 'ErrImageNeverPull':
      return { state: 'ended', failure: imageFailure(seen, status, message) };
    case 'ErrImagePull':
    case 'ImagePullBackOff':
    case 'ImageInspectError':
    case 'RegistryUnavailable':
    case 'SignatureValidationFailed':
      return within(PULL_GRACE_MS, imageFailure(seen, status, message));
    case 'CreateContainerConfigError':
      return within(CONFIG_GRACE_MS, configFailure(message));
    case 'CreateContainerError':
    case 'RunContainerError':
    case 'PostStartHookError':
      return within(CREATE_GRACE_MS, startFailure(status, message));
    case 'CrashLoopBackOff': {
      const last = status.lastState?.terminated;
      const why = `exit code ${last?.exitCode ?? '?'}${last?.reason === undefined ? '' : `, ${last.reason}`}`;
      const failure = {
        code: 'AttemptLost',
        message: `Anneal's container "${status.name}" keeps ending (${why}): ${said(last?.message)}.`,
      } as const;
      return within(CREATE_GRACE_MS, failure, 'preparing');
    }
    default:
      return undefined;
  }
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

function configFailure(message: string): DiagnosedFailure {
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

function startFailure({ name, image }: V1ContainerStatus, message: string): DiagnosedFailure {
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
