import { parseDuration } from '../core/duration.js';
import type { KubernetesPlacement, KubernetesSettings, PoolVolume, StoreAccess } from '../core/kubernetes.js';
import type { ConfigFile } from './config-schema.js';
import type { KubernetesFile, KubernetesPoolFile } from './kubernetes-schema.js';
import type { PoolConfig } from './project-config.js';

/** Pools with their defaults filled in, in the order of anneal.yaml. */
export function resolvePools(pools: NonNullable<ConfigFile['pools']>): { [name: string]: PoolConfig } {
  return Object.fromEntries(Object.entries(pools).map(([name, pool]) => [name, resolvePool(pool)]));
}

/** How pods of a project reach the cluster and the store; `undefined` where no pool is on Kubernetes. */
export function resolveKubernetes(written: ConfigFile): KubernetesSettings | undefined {
  const { kubernetes = {}, pools = {} } = written;
  if (!Object.values(pools).some(({ executor }) => executor === 'kubernetes')) return undefined;
  const { context, namespace = '', image = '' } = kubernetes;
  const store = resolveAccess(kubernetes.store);
  return {
    ...(context === undefined ? {} : { context }),
    namespace,
    image,
    ...(store === undefined ? {} : { store }),
    jobsPerSecond: kubernetes.jobsPerSecond ?? 10,
    maxWatchedJobs: kubernetes.maxWatchedJobs ?? 500,
  };
}

function resolvePool(pool: NonNullable<ConfigFile['pools']>[string]): PoolConfig {
  const common = {
    ...(pool.slots === undefined ? {} : { slots: pool.slots }),
    ...(pool.cpu === undefined ? {} : { cpu: pool.cpu }),
    ...(pool.memory === undefined ? {} : { memory: pool.memory }),
    gpu: pool.gpu ?? 0,
    ...(pool.gpuType === undefined ? {} : { gpuType: pool.gpuType }),
  };
  if (pool.executor !== 'kubernetes')
    return { executor: 'process', ...common, gpuOptional: pool.gpuOptional ?? true };
  return {
    executor: 'kubernetes',
    ...common,
    // A pod either gets its devices or is not placed: there is no such thing as running without.
    gpuOptional: false,
    ...(pool.ephemeralStorage === undefined ? {} : { ephemeralStorage: pool.ephemeralStorage }),
    placement: resolvePlacement(pool),
  };
}

/** The user that images without root usually have. */
const NONROOT = 65_532;

function resolvePlacement(pool: KubernetesPoolFile): KubernetesPlacement {
  const { image, priorityClass, runtimeClass, queue, user = NONROOT, pricePerHour, defaults = {} } = pool;
  return {
    ...(image === undefined ? {} : { image }),
    defaults: defined(defaults),
    gpuResource: pool.gpuResource ?? 'nvidia.com/gpu',
    nodeSelector: pool.nodeSelector ?? {},
    nodeAffinity: pool.nodeAffinity ?? {},
    tolerations: (pool.tolerations ?? []).map(defined),
    ...(priorityClass === undefined ? {} : { priorityClass }),
    ...(runtimeClass === undefined ? {} : { runtimeClass }),
    ...(queue === undefined ? {} : { queue }),
    ...resolveLimits(pool),
    ...(user === 'platform' ? {} : { user }),
    serviceAccounts: pool.serviceAccounts ?? [],
    secrets: pool.secrets ?? [],
    imagePullSecrets: pool.imagePullSecrets ?? [],
    volumes: resolveVolumes(pool.volumes ?? {}),
    allow: pool.allow ?? [],
    ...(pricePerHour === undefined ? {} : { pricePerHour }),
  };
}

function resolveLimits({ maxPending = '1h', maxRuntime, scratch }: KubernetesPoolFile) {
  return {
    maxPendingMs: parseDuration(maxPending),
    ...(maxRuntime === undefined ? {} : { maxRuntimeMs: parseDuration(maxRuntime) }),
    ...(scratch === undefined ? {} : { maxScratch: scratch }),
  };
}

function resolveVolumes(written: NonNullable<KubernetesPoolFile['volumes']>): { [name: string]: PoolVolume } {
  return Object.fromEntries(
    Object.entries(written).map(([name, { claim, readOnly, holds }]) => [
      name,
      {
        claim,
        readOnly: readOnly ?? true,
        ...(holds === undefined ? {} : { holds: holds.replace(/\/+$/, '') }),
      },
    ]),
  );
}

function resolveAccess(store: NonNullable<KubernetesFile>['store']): StoreAccess | undefined {
  if (store?.secret !== undefined) return { secret: store.secret };
  if (store?.audience === undefined) return undefined;
  const { audience, role, serviceAccount } = store;
  return {
    audience,
    ...(role === undefined ? {} : { roleArn: role }),
    ...(serviceAccount === undefined ? {} : { serviceAccount }),
  };
}

type Defined<T> = { [k in keyof T]: Exclude<T[k], undefined> };

/** Without what is not set. */
function defined<T extends object>(written: T): Defined<T> {
  return Object.fromEntries(Object.entries(written).filter(([, value]) => value !== undefined)) as Defined<T>;
}
