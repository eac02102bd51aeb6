import { inspectCluster } from '../adapters/kubernetes/inspect/inspect-cluster.js';
import type { ClusterFinding } from '../adapters/kubernetes/inspect/inspection.js';
import type { ProjectConfig } from '../config/project-config.js';
import { isS3Uri } from '../core/store-location.js';
import { openKubernetes } from './open-kubernetes.js';

export type { ClusterFinding };

/** Looks at the cluster of a project. @throws AnnealError InvalidConfig: no cluster is known. */
export async function inspectKubernetes(
  { kubernetes, pools, store }: Pick<ProjectConfig, 'kubernetes' | 'pools' | 'store'>,
  env: { readonly [name: string]: string | undefined },
): Promise<readonly ClusterFinding[]> {
  if (kubernetes === undefined)
    return [
      {
        name: 'Kubernetes',
        level: 'warning',
        found: 'no pool of anneal.yaml is on Kubernetes',
        mend: 'Give a pool "executor: kubernetes" to use a cluster.',
      },
    ];
  const { api, connection, transport } = await openKubernetes(kubernetes, env);
  try {
    const inspected = Object.entries(pools).flatMap(([name, { gpu, gpuType, placement }]) =>
      placement === undefined
        ? []
        : [{ name, gpu, placement, ...(gpuType === undefined ? {} : { gpuType }) }],
    );
    const settings = { transport, connection, settings: kubernetes, pools: inspected };
    if (!isS3Uri(store.root)) return await inspectCluster(settings);
    const inPods = { uri: store.root, ...(store.s3 === undefined ? {} : { s3: store.s3 }) };
    return await inspectCluster({ ...settings, store: inPods });
  } finally {
    await api.close();
  }
}
