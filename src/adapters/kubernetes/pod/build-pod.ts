import type { V1Container, V1PodSpec, V1SecurityContext } from '@kubernetes/client-node';
import { AnnealError } from '../../../core/failures.js';
import type { KubernetesOptions } from '../../../core/kubernetes.js';
import { POD_PROGRAMS, podPaths } from '../../../core/pod-layout.js';
import { CONTAINERS, IMAGE_PROGRAMS } from '../labels.js';
import { buildCommand } from './build-command.js';
import { buildAgentEnvironment, buildMainEnvironment } from './build-environment.js';
import { buildPlacement } from './build-placement.js';
import { buildAgentResources, buildMainResources } from './build-resources.js';
import { buildVolumes, type PodVolumes } from './build-volumes.js';
import type { JobRequest } from './job-request.js';

/**
 * The pod of an attempt: `fetch`, then `agent` beside `main`, under Pod Security *restricted*. Everything in it is put there by name:
 * nothing that a step says becomes a field.
 */
export function buildPod(job: JobRequest, options: KubernetesOptions): V1PodSpec {
  const { launch, placement, store } = job;
  const { stopGraceMs } = launch.request;
  const user = options.user ?? placement.user;
  const volumes = buildVolumes(job, options);
  const account = options.serviceAccount ?? accountOf(store.access);
  return {
    restartPolicy: 'Never',
    automountServiceAccountToken: false,
    enableServiceLinks: false,
    terminationGracePeriodSeconds: Math.ceil(stopGraceMs / 1_000) + UPLOAD_GRACE_SECONDS,
    activeDeadlineSeconds: deadlineOf(job),
    securityContext: {
      runAsNonRoot: true,
      ...(user !== undefined && { runAsUser: user, runAsGroup: user, fsGroup: user }),
      seccompProfile: { type: 'RuntimeDefault' },
    },
    ...(account !== undefined && { serviceAccountName: account }),
    ...(placement.imagePullSecrets.length > 0 && {
      imagePullSecrets: placement.imagePullSecrets.map((name) => ({ name })),
    }),
    ...buildPlacement(job, options),
    volumes: volumes.volumes,
    initContainers: [buildFetch(job, volumes), buildAgent(job, volumes)],
    containers: [buildMain(job, options, volumes)],
  };
}

/** Time that a stop leaves the agent after the command's own grace, to store checkpoints and the log. */
export const UPLOAD_GRACE_SECONDS = 60;
/** The deadline of the whole pod is a backstop behind the wrapper's: images and inputs may take so long. */
const PREPARATION_SECONDS = 7_200;
/** Without a time limit: as long as the activity that waits for the attempt. Nobody may hold a node for ever, also where all else is broken. */
const NO_LIMIT_MS = 30 * 86_400_000;
const STARTUP_SECONDS = 120;

function deadlineOf({ launch, placement }: JobRequest): number {
  const { stopGraceMs, timeoutMs = NO_LIMIT_MS } = launch.request;
  const whole = Math.ceil((timeoutMs + stopGraceMs + launch.uploadTimeoutMs) / 1_000) + PREPARATION_SECONDS;
  return Math.min(whole, Math.ceil((placement.maxRuntimeMs ?? Infinity) / 1_000));
}

const CONFINED: V1SecurityContext = { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } };

function buildFetch(job: JobRequest, { ours, fetch }: PodVolumes): V1Container {
  return {
    name: CONTAINERS.fetch,
    image: job.agentImage,
    command: [...IMAGE_PROGRAMS.fetch],
    env: buildAgentEnvironment(job),
    resources: buildAgentResources(job),
    volumeMounts: [...ours, ...fetch],
    securityContext: { ...CONFINED, readOnlyRootFilesystem: true },
    terminationMessagePolicy: 'FallbackToLogsOnError',
  };
}

function buildAgent(job: JobRequest, { ours }: PodVolumes): V1Container {
  return {
    name: CONTAINERS.agent,
    image: job.agentImage,
    command: [...IMAGE_PROGRAMS.agent],
    env: buildAgentEnvironment(job),
    resources: buildAgentResources(job),
    volumeMounts: ours,
    securityContext: { ...CONFINED, readOnlyRootFilesystem: true },
    restartPolicy: 'Always',
    // The image's own program: the volume is the step's to write, and probes run with the agent's environment.
    startupProbe: {
      exec: { command: [`${POD_PROGRAMS}/busybox`, 'test', '-e', podPaths().agentStarted] },
      periodSeconds: 1,
      failureThreshold: STARTUP_SECONDS,
    },
    terminationMessagePolicy: 'FallbackToLogsOnError',
  };
}

function buildMain(job: JobRequest, options: KubernetesOptions, { main }: PodVolumes): V1Container {
  const { request } = job.launch;
  const image = request.image ?? job.placement.image;
  if (image === undefined || image === '')
    throw new AnnealError(
      'InvalidConfig',
      `Step "${request.step}" has no image, and runs on Kubernetes. Set image: of the step, or pools.${request.pool}.image in anneal.yaml.`,
    );
  return {
    name: CONTAINERS.main,
    image,
    ...buildCommand(job),
    workingDir: podPaths().work,
    env: buildMainEnvironment(job, options),
    resources: buildMainResources(job),
    volumeMounts: main,
    securityContext: CONFINED,
    terminationMessagePolicy: 'FallbackToLogsOnError',
  };
}

function accountOf(access: JobRequest['store']['access']): string | undefined {
  return access && 'audience' in access ? access.serviceAccount : undefined;
}
