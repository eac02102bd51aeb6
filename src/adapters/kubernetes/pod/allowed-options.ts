import { AnnealError } from '../../../core/failures.js';
import { STEP_OPTIONS, type KubernetesOptions } from '../../../core/kubernetes.js';
import { formatDuration } from '../../../core/duration.js';
import { parseBytes } from '../../../core/quantity.js';
import type { JobRequest } from './job-request.js';

/**
 * What a step asks of Kubernetes, as far as its pool lets it.
 * @throws AnnealError InvalidConfig or NoPoolFits for what the pool does not let it set, by name.
 */
export function allowedOptions(job: JobRequest): KubernetesOptions {
  const { request } = job.launch;
  const refuse: Refuse = (what, next) => {
    throw new AnnealError('InvalidConfig', `Step "${request.step}" ${what}. ${next}`);
  };
  checkOptions(job, refuse);
  checkMounts(job, refuse);
  for (const value of Object.values(request.env))
    if (typeof value !== 'string') checkSecret(job, value.secret.name, refuse);
  checkDisk(job);
  checkTimeout(job, refuse);
  return request.kubernetes ?? {};
}

function checkOptions({ launch, placement }: JobRequest, refuse: Refuse): void {
  const { pool, kubernetes: asked = {} } = launch.request;
  for (const option of STEP_OPTIONS)
    if (asked[option] !== undefined && !placement.allow.includes(option))
      refuse(
        `sets kubernetes.${option}, which pool "${pool}" does not let steps set`,
        `Add ${option} to pools.${pool}.allow in anneal.yaml, or take it out of the step.`,
      );
  const { serviceAccount, nodeSelector = {} } = asked;
  if (serviceAccount !== undefined && !placement.serviceAccounts.includes(serviceAccount))
    refuse(
      `names the service account "${serviceAccount}"; pools.${pool}.serviceAccounts ${listed(placement.serviceAccounts)}`,
      'Add it there, or take it out of the step.',
    );
  for (const [name, value] of Object.entries(nodeSelector))
    if (Object.hasOwn(placement.nodeSelector, name) && placement.nodeSelector[name] !== value)
      refuse(
        `asks for nodes with ${name}=${value}; pool "${pool}" is those with ${name}=${placement.nodeSelector[name]}`,
        'Name another pool, or take it out of the step.',
      );
}

function checkMounts(job: JobRequest, refuse: Refuse): void {
  const { launch, placement } = job;
  const { pool, kubernetes: { volumes = {}, files = {} } = {} } = launch.request;
  for (const [name, directory] of Object.entries(volumes)) {
    if (!Object.hasOwn(placement.volumes, name))
      refuse(
        `mounts the volume "${name}"; pools.${pool}.volumes ${listed(Object.keys(placement.volumes))}`,
        'Add it there, or take it out of the step.',
      );
    checkDirectory(directory, refuse);
  }
  for (const [directory, from] of Object.entries(files)) {
    checkDirectory(directory, refuse);
    if ('secret' in from) checkSecret(job, from.secret, refuse);
  }
}

function checkDisk({ launch: { request }, maxEphemeralStorage, placement }: JobRequest): void {
  const { ephemeralStorage, scratch } = request.resources;
  for (const [asked, most, what, key] of [
    [ephemeralStorage, maxEphemeralStorage, "of its node's disk", 'ephemeralStorage'],
    [scratch?.size, placement.maxScratch, 'of scratch space', 'scratch'],
  ] as const) {
    if (asked === undefined || most === undefined || parseBytes(asked) <= parseBytes(most)) continue;
    throw new AnnealError(
      'NoPoolFits',
      `Step "${request.step}" asks for ${asked} ${what}; pool "${request.pool}" offers ${most} to one attempt. Ask for less, or raise pools.${request.pool}.${key} in anneal.yaml.`,
    );
  }
}

function checkTimeout(
  { launch: { request }, placement: { maxRuntimeMs } }: JobRequest,
  refuse: Refuse,
): void {
  const { pool, timeoutMs } = request;
  if (timeoutMs === undefined || maxRuntimeMs === undefined || timeoutMs <= maxRuntimeMs) return;
  refuse(
    `has a timeout of ${formatDuration(timeoutMs)}; pool "${pool}" lets a pod live ${formatDuration(maxRuntimeMs)}`,
    `Lower it, or raise pools.${pool}.maxRuntime in anneal.yaml.`,
  );
}

type Refuse = (what: string, next: string) => never;

/** Secrets of Anneal's own workers are named so (k8s/base); they may lie in the namespace of the Jobs. */
const OWN_SECRETS = /^anneal-/;

/** Credentials of the store and of Anneal's workers are not for steps, and others only where the operator says so: a step names whichever it likes. */
function checkSecret(
  { launch, placement, store: { access } }: JobRequest,
  name: string,
  refuse: Refuse,
): void {
  const { pool } = launch.request;
  if (access && 'secret' in access && access.secret === name)
    refuse(
      `names the secret "${name}", which holds the store's credentials`,
      'No step gets them; give it a secret or a service account of its own.',
    );
  if (OWN_SECRETS.test(name))
    refuse(
      `names the secret "${name}"; names that begin with "anneal-" are of Anneal's own workers`,
      'Put what the step needs into a secret of another name.',
    );
  if (!placement.secrets.includes(name))
    refuse(
      `names the secret "${name}"; pools.${pool}.secrets ${listed(placement.secrets)}`,
      'Add it there, or take it out of the step.',
    );
}

/** Where Kubernetes, the image's system or Anneal have something, nothing is mounted. */
const TAKEN = /^\/($|(anneal|proc|sys|dev|etc|bin|sbin|lib|lib64|usr|run|var\/run)(\/|$))/;

function checkDirectory(directory: string, refuse: Refuse): void {
  const clean = /^(\/[A-Za-z0-9_][A-Za-z0-9_.-]*)+$/.test(directory);
  if (!clean || TAKEN.test(directory))
    refuse(
      `mounts something at "${directory}"; it must be an absolute path outside of the system's and Anneal's directories, such as /mnt/data`,
      'Choose another directory.',
    );
}

function listed(names: readonly string[]): string {
  return names.length === 0 ? 'has none' : `has ${names.map((name) => `"${name}"`).join(', ')}`;
}
