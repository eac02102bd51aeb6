import { controlTaskQueue, processPoolTaskQueue } from '../core/run.js';
import type { Pool } from '../core/pools.js';
import type { ProjectConfig } from './project-config.js';

/** The machine that a worker runs on. */
export interface PoolHost {
  /** Part of the task queues of its process pools. */
  readonly name: string;
  readonly cores: number;
}

/**
 * A project's pools as a run snapshots them, with the task queues of one host. Order is that of anneal.yaml.
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
    taskQueue: processPoolTaskQueue(config.project, name, host.name),
    controlQueue: controlTaskQueue(config.project, host.name),
    ...(pool.cpu === undefined ? {} : { cpu: pool.cpu }),
    ...(pool.memory === undefined ? {} : { memory: pool.memory }),
    gpu: pool.gpu,
    ...(pool.gpuType === undefined ? {} : { gpuType: pool.gpuType }),
    gpuOptional: pool.gpuOptional,
    ...(served === undefined || served.has(name) ? {} : { unservedOn: host.name }),
  }));
}

/** Attempts that a pool runs at a time on a host: its `slots`, else the host's cores. */
export function poolSlots(
  config: Pick<ProjectConfig, 'pools'>,
  pool: string,
  host: Pick<PoolHost, 'cores'>,
): number {
  return config.pools[pool]?.slots ?? Math.max(1, host.cores);
}
