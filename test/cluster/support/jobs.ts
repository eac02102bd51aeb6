import { setTimeout as delay } from 'node:timers/promises';
import type { V1Pod } from '@kubernetes/client-node';

import type { ClusterNamespace } from './namespace.js';

/** A Job of one container, as Pod Security restricted wants it. */
export interface SmallJob {
  readonly name: string;
  readonly command: readonly string[];
  /** Default: busybox. */
  readonly image?: string;
  readonly limits?: Readonly<Record<string, string>>;
  /** Keeps it off the real node. */
  readonly simulated?: boolean;
  readonly annotations?: Readonly<Record<string, string>>;
}

/** The Job as the API wants it. */
export function buildSmallJob(job: SmallJob): object {
  const container = {
    name: 'main',
    image: job.image ?? 'kube.local/busybox:1',
    command: job.command,
    resources: { limits: job.limits ?? {} },
    securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } },
  };
  return {
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: { name: job.name },
    spec: {
      backoffLimit: 0,
      template: {
        metadata: { annotations: job.annotations ?? {} },
        spec: {
          restartPolicy: 'Never',
          terminationGracePeriodSeconds: 2,
          automountServiceAccountToken: false,
          securityContext: {
            runAsUser: 65532,
            runAsNonRoot: true,
            seccompProfile: { type: 'RuntimeDefault' },
          },
          containers: [container],
          ...(job.simulated && SIMULATED),
        },
      },
    },
  };
}

const SIMULATED = {
  nodeSelector: { 'anneal.test/node': 'fake' },
  tolerations: [{ key: 'kwok.x-k8s.io/node', operator: 'Exists' }],
};

/** Creates the Job as the worker's account. */
export async function createJob({ cluster, kubeconfig }: ClusterNamespace, job: SmallJob): Promise<void> {
  await cluster.kubectl(
    ['--kubeconfig', kubeconfig, 'create', '-f', '-'],
    JSON.stringify(buildSmallJob(job)),
  );
}

/** The Job's pod, as soon as it fits. */
export async function waitForPod(
  { cluster, name: namespace }: ClusterNamespace,
  job: string,
  fits: (pod: V1Pod) => boolean,
): Promise<V1Pod> {
  let last: V1Pod | undefined;
  for (const deadline = Date.now() + 60_000; Date.now() < deadline; await delay(200)) {
    const { items } = await cluster.read<{ readonly items: readonly V1Pod[] }>(
      ...['pods', '-n', namespace, '-l', `batch.kubernetes.io/job-name=${job}`],
    );
    last = items[0];
    if (last !== undefined && fits(last)) return last;
  }
  throw new Error(`The pod of the Job ${job} is not as it should be: ${JSON.stringify(last?.status)}`);
}

/** The Job's pod once it has ended. */
export async function waitForEnd(namespace: ClusterNamespace, job: string): Promise<V1Pod> {
  return await waitForPod(namespace, job, ({ status }) =>
    ['Succeeded', 'Failed'].includes(status?.phase ?? ''),
  );
}
