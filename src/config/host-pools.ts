import {
  clusterControlTaskQueue,
  clusterPoolTaskQueue,
  controlTaskQueue,
  processPoolTaskQueue,
} from '../core/run.js';
import type { Pool } from '../core/pools.js';
import type { PoolConfig, ProjectConfig } from './project-config.js';

/** The machine that a worker runs on. */
export interface PoolHost {
  /** Part of the task queues of its process pools. */
  readonly name: string;
  readonly cores: number;
}

/**
 * A project's pools as a run snapshots them, with the task queues of one host; those on Kubernetes have none. Order is that of anneal.yaml.
 * @param served names of the pools that workers of the host serve; absent: all.
 */
export function poolsForHost(
  config: Pick<ProjectConfig, 'project' | 'pools'>,
  host: Pick<PoolHost, 'name'>,
  served?: ReadonlySet<string>,
): Pool[] {
  return Object.entries(config.pools).map(([name, pool]) => ({
    name,
    executor: pool.executor,
    taskQueue: poolTaskQueue(config, name, host),
    controlQueue: isCluster(pool)
      ? clusterControlTaskQueue(config.project)
      : controlTaskQueue(config.project, host.name),
    ...(pool.cpu === undefined ? {} : { cpu: pool.cpu }),
    ...(pool.memory === undefined ? {} : { memory: pool.memory }),
    gpu: pool.gpu,
    ...(pool.gpuType === undefined ? {} : { gpuType: pool.gpuType }),
    gpuOptional: pool.gpuOptional,
    ...(pool.placement?.pricePerHour === undefined ? {} : { pricePerHour: pool.placement.pricePerHour }),
    ...(served === undefined || served.has(name) || isCluster(pool) ? {} : { unservedOn: host.name }),
  }));
}

/** Task queue of a pool's workers on a host. */
export function poolTaskQueue(
  { project, pools }: Pick<ProjectConfig, 'project' | 'pools'>,
  pool: string,
  host: Pick<PoolHost, 'name'>,
): string {
  const found = pools[pool];
  return found && isCluster(found)
    ? clusterPoolTaskQueue(project, pool)
    : processPoolTaskQueue(project, pool, host.name);
}

/** Names of the pools whose attempts are Jobs. */
export function clusterPools({ pools }: Pick<ProjectConfig, 'pools'>): string[] {
  return Object.keys(pools).filter((name) => pools[name] && isCluster(pools[name]));
}

/** Attempts that a pool runs at a time on a host: its `slots`, else the host's cores, or on Kubernetes what a worker may watch. */
export function poolSlots(
  config: Pick<ProjectConfig, 'pools' | 'kubernetes'>,
  pool: string,
  host: Pick<PoolHost, 'cores'>,
): number {
  const found = config.pools[pool];
  const most = found && isCluster(found) ? config.kubernetes?.maxWatchedJobs : undefined;
  return found?.slots ?? most ?? Math.max(1, host.cores);
}

function isCluster({ executor }: Pick<PoolConfig, 'executor'>): boolean {
  return executor === 'kubernetes';
}
