import type { AttemptRequest } from '../../src/core/attempt.js';
import type { KubernetesPlacement } from '../../src/core/kubernetes.js';
import type { JobRequest } from '../../src/adapters/kubernetes/pod/job-request.js';
import { buildLaunch } from '../executor/contract.js';

/** A placement that asks for nothing. */
export const PLACEMENT: KubernetesPlacement = {
  defaults: {},
  gpuResource: 'nvidia.com/gpu',
  nodeSelector: {},
  nodeAffinity: {},
  tolerations: [],
  maxPendingMs: 60_000,
  user: 65_532,
  serviceAccounts: [],
  secrets: [],
  imagePullSecrets: [],
  volumes: {},
  allow: [],
};

/** What a Job is made from, with everything made up that is not named. */
export function jobRequest(
  request: Partial<AttemptRequest> = {},
  more: { readonly placement?: Partial<KubernetesPlacement> } & Partial<Omit<JobRequest, 'placement'>> = {},
): JobRequest {
  const { placement, ...rest } = more;
  const { name, runId, request: whole, environment } = buildLaunch(request, 'step-abcdefghijklmnop-a1');
  return {
    launch: {
      version: 1,
      name,
      runId,
      request: whole,
      environment,
      preparedAtMs: 0,
      uploadTimeoutMs: 600_000,
      checkpointSettleMs: 10_000,
    },
    owner: { namespace: 'default', epoch: 'epoch' },
    placement: { ...PLACEMENT, ...placement },
    namespace: 'jobs',
    agentImage: 'anneal:1',
    store: {
      uri: 's3://bucket/prefix',
      uriOf: (key) => `s3://bucket/prefix/${key}`,
      s3: { endpoint: 'http://s3:9000' },
      access: { secret: 'anneal-store' },
    },
    ...rest,
  };
}
