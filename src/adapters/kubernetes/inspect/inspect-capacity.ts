import { parseQuantity } from './quantities.js';
import {
  find,
  inNamespace,
  listed,
  type ClusterFinding,
  type InspectedPool,
  type Inspection,
} from './inspection.js';

/** Quota of the namespace, GPUs of the nodes, and Kueue where a pool has a queue. */
export async function inspectCapacity(inspection: Inspection): Promise<ClusterFinding[]> {
  const found = await Promise.all([
    inspectQuota(inspection),
    inspectGpus(inspection),
    inspectKueue(inspection),
  ]);
  return found.flat();
}

interface Quotas {
  readonly items: readonly {
    readonly metadata: { readonly name: string };
    readonly status?: { readonly hard?: Amounts; readonly used?: Amounts };
  }[];
}

interface Amounts {
  readonly [resource: string]: string;
}

async function inspectQuota(inspection: Inspection): Promise<ClusterFinding[]> {
  const name = 'Quota';
  const found = await find<Quotas>(inspection, inNamespace(inspection, 'resourcequotas'));
  if (found === 'absent') return [];
  if (found === 'forbidden') return [{ name, level: 'ok', found: 'this account may not see quotas' }];
  const rows = found.object.items.flatMap(({ status }) =>
    Object.entries(status?.hard ?? {}).map(([resource, hard]) => ({
      resource,
      hard,
      used: status?.used?.[resource] ?? '0',
    })),
  );
  if (rows.length === 0) return [{ name, level: 'ok', found: 'none' }];
  const full = rows.filter(({ hard, used }) => parseQuantity(used) >= parseQuantity(hard));
  const text = (list: typeof rows) =>
    listed(list.map(({ resource, hard, used }) => `${resource} ${used} of ${hard}`));
  return full.length === 0
    ? [{ name, level: 'ok', found: text(rows) }]
    : [
        {
          name,
          level: 'warning',
          found: `used up: ${text(full)}`,
          mend: 'Steps wait until others have ended. Raise the quota, or end what is not needed: anneal gc --jobs',
        },
      ];
}

interface Nodes {
  readonly items: readonly {
    readonly metadata: { readonly name: string; readonly labels?: { readonly [name: string]: string } };
    readonly status?: { readonly allocatable?: Amounts };
  }[];
}

async function inspectGpus(inspection: Inspection): Promise<ClusterFinding[]> {
  const name = 'GPU nodes';
  const pools = inspection.pools.filter(({ gpu }) => gpu > 0);
  if (pools.length === 0) return [];
  const found = await find<Nodes>(inspection, '/api/v1/nodes');
  if (found === 'absent' || found === 'forbidden')
    return [{ name, level: 'ok', found: 'this account may not see nodes' }];
  return pools.map((pool) => ({ name, ...judgePool(pool, found.object.items) }));
}

/** What a cluster autoscaler would add is not seen: no fitting node is a warning only. */
function judgePool(pool: InspectedPool, nodes: Nodes['items']): Omit<ClusterFinding, 'name'> {
  const { gpuResource, nodeSelector, nodeAffinity } = pool.placement;
  const having = nodes.filter(({ status }) => Number(status?.allocatable?.[gpuResource] ?? 0) > 0);
  const fitting = having.filter(
    ({ metadata: { labels = {} } }) =>
      Object.entries(nodeSelector).every(([label, value]) => labels[label] === value) &&
      Object.entries(nodeAffinity).every(([label, values]) => values.includes(labels[label] ?? '')),
  );
  const most = Math.max(0, ...fitting.map(({ status }) => Number(status?.allocatable?.[gpuResource] ?? 0)));
  const where = `pool "${pool.name}"`;
  if (fitting.length === 0)
    return {
      level: 'warning',
      found:
        having.length === 0
          ? `${where}: no node offers ${gpuResource}`
          : `${where}: ${having.length} ${having.length === 1 ? 'node offers' : 'nodes offer'} ${gpuResource}, but not with the labels that the pool selects`,
      mend: `Unless nodes are added when they are needed, steps wait for ever: check gpuResource, nodeSelector and the device plugin.`,
    };
  if (most < pool.gpu)
    return {
      level: 'warning',
      found: `${where}: a step may ask for ${pool.gpu} GPUs, and no node has more than ${most}`,
      mend: `Lower pools.${pool.name}.gpu to ${most}.`,
    };
  if (pool.gpuType !== undefined && !fitting.some((node) => isOfType(node, pool.gpuType)))
    return {
      level: 'warning',
      found: `${where}: gpuType is "${pool.gpuType}", which no label of its nodes says (${productsOf(fitting)})`,
      mend: `Correct pools.${pool.name}.gpuType or its nodeSelector.`,
    };
  const all = fitting.reduce((sum, { status }) => sum + Number(status?.allocatable?.[gpuResource] ?? 0), 0);
  return {
    level: 'ok',
    found: `${where}: ${all} ${gpuResource} on ${fitting.length} ${fitting.length === 1 ? 'node' : 'nodes'}`,
  };
}

function isOfType({ metadata }: Nodes['items'][number], type = ''): boolean {
  return Object.values(metadata.labels ?? {}).some((value) =>
    value.toLowerCase().includes(type.toLowerCase()),
  );
}

function productsOf(nodes: Nodes['items']): string {
  const products = nodes.flatMap(({ metadata }) =>
    Object.entries(metadata.labels ?? {}).flatMap(([label, value]) =>
      /gpu\.product|accelerator|gpu-name/.test(label) ? [value] : [],
    ),
  );
  return products.length === 0 ? 'they have no label of a GPU' : listed([...new Set(products)]);
}

async function inspectKueue(inspection: Inspection): Promise<ClusterFinding[]> {
  const name = 'Kueue';
  const pools = inspection.pools.filter(({ placement }) => placement.queue !== undefined);
  if (pools.length === 0) return [];
  const group = await find<{ readonly preferredVersion?: { readonly groupVersion?: string } }>(
    inspection,
    '/apis/kueue.x-k8s.io',
  );
  if (group === 'absent' || group === 'forbidden')
    return [
      {
        name,
        level: 'error',
        found: `not installed; ${listed(pools.map((pool) => `pool "${pool.name}" has a queue`))}`,
        mend: 'Install Kueue, or remove queue from the pools: without it nothing holds their Jobs back.',
      },
    ];
  const version = group.object.preferredVersion?.groupVersion ?? 'kueue.x-k8s.io/v1beta1';
  return await Promise.all(
    pools.map(async ({ name: pool, placement: { queue = '' } }): Promise<ClusterFinding> => {
      const { namespace } = inspection.connection;
      const path = `/apis/${version}/namespaces/${encodeURIComponent(namespace)}/localqueues/${encodeURIComponent(queue)}`;
      const found = await find(inspection, path);
      if (found === 'forbidden')
        return { name, level: 'ok', found: `pool "${pool}": this account may not see queue "${queue}"` };
      if (found !== 'absent') return { name, level: 'ok', found: `pool "${pool}": queue "${queue}"` };
      return {
        name,
        level: 'error',
        found: `pool "${pool}": namespace "${namespace}" has no local queue "${queue}"`,
        mend: `Make the LocalQueue, or correct pools.${pool}.queue.`,
      };
    }),
  );
}
