import type { V1PodSpec, V1Toleration } from '@kubernetes/client-node';
import { gpuCount } from '../../../core/pools.js';
import type { KubernetesOptions } from '../../../core/kubernetes.js';
import type { JobRequest } from './job-request.js';

/** Where a pod may go: the pool's nodes, and among them those that the step asks for. */
export function buildPlacement(
  { launch, placement }: JobRequest,
  options: KubernetesOptions,
): Pick<V1PodSpec, 'nodeSelector' | 'affinity' | 'tolerations' | 'priorityClassName' | 'runtimeClassName'> {
  const nodeSelector = { ...options.nodeSelector, ...placement.nodeSelector };
  const tolerations = buildTolerations({ launch, placement }, options);
  const priorityClassName = options.priorityClass ?? placement.priorityClass;
  const runtimeClassName = options.runtimeClass ?? placement.runtimeClass;
  const matchExpressions = [placement.nodeAffinity, options.nodeAffinity ?? {}].flatMap((labels) =>
    Object.entries(labels).map(([key, values]) => ({ key, operator: 'In', values: [...values] })),
  );
  const required = { nodeSelectorTerms: [{ matchExpressions }] };
  return {
    ...(Object.keys(nodeSelector).length > 0 && { nodeSelector }),
    ...(matchExpressions.length > 0 && {
      affinity: { nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: required } },
    }),
    ...(tolerations.length > 0 && { tolerations }),
    ...(priorityClassName !== undefined && { priorityClassName }),
    ...(runtimeClassName !== undefined && { runtimeClassName }),
  };
}

function buildTolerations(
  { launch, placement }: Pick<JobRequest, 'launch' | 'placement'>,
  options: KubernetesOptions,
): V1Toleration[] {
  const own = [...placement.tolerations, ...(options.tolerations ?? [])].map(
    ({ key, operator, value, effect }): V1Toleration => ({
      ...(key === undefined ? {} : { key }),
      ...(operator === undefined ? {} : { operator }),
      ...(value === undefined ? {} : { value }),
      ...(effect === undefined ? {} : { effect }),
    }),
  );
  // MIG slices are on nodes that are tainted by the name of whole GPUs.
  const taint = placement.gpuResource.replace(/^nvidia\.com\/.*/, 'nvidia.com/gpu');
  const gpus: V1Toleration[] =
    gpuCount(launch.request.resources) === 0
      ? []
      : [{ key: taint, operator: 'Exists', effect: 'NoSchedule' }];
  return [...own, ...gpus];
}
