import { createKubernetesApi, type KubernetesApi } from '../adapters/kubernetes/api.js';
import { createApiTransport, type ApiTransport } from '../adapters/kubernetes/api-transport.js';
import { loadKubeConnection, type KubeConnection } from '../adapters/kubernetes/kube-config.js';
import type { KubernetesSettings } from '../core/kubernetes.js';

/** The cluster of a project, over connections that all of a process share. */
export interface OpenKubernetes {
  readonly connection: KubeConnection;
  readonly transport: ApiTransport;
  readonly api: KubernetesApi;
}

/** Finds the cluster; asks nothing of it yet. Close the api in the end. @throws AnnealError InvalidConfig. */
export async function openKubernetes(
  { context, namespace }: Pick<KubernetesSettings, 'context' | 'namespace'>,
  env: { readonly [name: string]: string | undefined },
): Promise<OpenKubernetes> {
  const connection = await loadKubeConnection({
    env,
    namespace,
    ...(context === undefined ? {} : { context }),
  });
  const transport = createApiTransport({ connection });
  return { connection, transport, api: createKubernetesApi(transport, connection.namespace) };
}
