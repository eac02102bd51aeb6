import type { V1Volume, V1VolumeMount } from '@kubernetes/client-node';
import { slug } from '../../../core/attempt.js';
import { base32Digest } from '../../../core/digest.js';
import { POD_ROOT } from '../../../core/pod-layout.js';
import type { KubernetesOptions } from '../../../core/kubernetes.js';
import { POD_PATHS, VOLUMES } from '../labels.js';
import { buildInputVolumes, inputMounts } from './build-input-mounts.js';
import { quantity } from './build-resources.js';
import type { JobRequest } from './job-request.js';

/** Volumes of a pod, and which container mounts them where. */
export interface PodVolumes {
  readonly volumes: V1Volume[];
  readonly main: V1VolumeMount[];
  /** `fetch` and `agent`. */
  readonly ours: V1VolumeMount[];
  /** `fetch` alone, beside those. */
  readonly fetch: readonly V1VolumeMount[];
}

/** The shared volume, what the step asks for, and for our containers the token that reaches the store. */
export function buildVolumes(job: JobRequest, options: KubernetesOptions): PodVolumes {
  const volumes: V1Volume[] = [{ name: VOLUMES.anneal, emptyDir: {} }];
  const shared: V1VolumeMount = { name: VOLUMES.anneal, mountPath: POD_ROOT };
  const main = [shared];
  const ours = [shared];
  const { sharedMemory, scratch } = job.launch.request.resources;
  if (sharedMemory !== undefined) {
    volumes.push({
      name: VOLUMES.sharedMemory,
      emptyDir: { medium: 'Memory', sizeLimit: quantity(sharedMemory) },
    });
    main.push({ name: VOLUMES.sharedMemory, mountPath: POD_PATHS.sharedMemory });
  }
  if (scratch !== undefined) {
    const { size, storageClass } = scratch;
    const spec = {
      accessModes: ['ReadWriteOnce'],
      ...(storageClass === undefined ? {} : { storageClassName: storageClass }),
      resources: { requests: { storage: quantity(size) } },
    };
    volumes.push({ name: VOLUMES.scratch, ephemeral: { volumeClaimTemplate: { spec } } });
    main.push({ name: VOLUMES.scratch, mountPath: POD_PATHS.scratch });
  }
  for (const [name, mountPath] of Object.entries(options.volumes ?? {})) {
    const volume = job.placement.volumes[name];
    if (volume === undefined) continue;
    const { claim: claimName, readOnly } = volume;
    const inPod = poolVolumeName(name);
    volumes.push({ name: inPod, persistentVolumeClaim: { claimName, readOnly } });
    main.push({ name: inPod, mountPath, readOnly });
  }
  Object.entries(options.files ?? {}).forEach(([mountPath, from], i) => {
    const name = `files-${i}`;
    volumes.push(
      'secret' in from
        ? { name, secret: { secretName: from.secret } }
        : { name, configMap: { name: from.configMap } },
    );
    main.push({ name, mountPath, readOnly: true });
  });
  const inputs = buildInputVolumes(inputMounts(job.launch.request, job.placement));
  volumes.push(...inputs.volumes);
  main.push(...inputs.main);
  const stored = storeToken(job.store.access);
  if (stored !== undefined) {
    volumes.push(stored.volume);
    ours.push(stored.mount);
  }
  return { volumes, main, ours, fetch: inputs.fetch };
}

/** What a volume of the pool is called in a pod: names of volumes there are DNS labels, so one that is none, or too long, is cut and told apart by a hash. */
export function poolVolumeName(name: string): string {
  const plain = `pool-${name}`;
  if (plain.length <= LONGEST_LABEL && !name.includes('.')) return plain;
  return `pool-${slug(name, LONGEST_LABEL - 'pool--'.length - HASH_LENGTH)}-${base32Digest(name, HASH_LENGTH)}`;
}

const LONGEST_LABEL = 63;
const HASH_LENGTH = 10;

/** The token that reaches the store, where one does. */
export function storeToken(
  access: JobRequest['store']['access'],
): { readonly volume: V1Volume; readonly mount: V1VolumeMount } | undefined {
  if (!access || !('audience' in access)) return undefined;
  const name = VOLUMES.storeToken;
  return {
    volume: { name, projected: { sources: [token(access.audience)] } },
    mount: { name, mountPath: POD_PATHS.storeToken, readOnly: true },
  };
}

const TOKEN_SECONDS = 3_600;

function token(audience: string) {
  return { serviceAccountToken: { audience, expirationSeconds: TOKEN_SECONDS, path: 'token' } };
}
