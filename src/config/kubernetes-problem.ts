import { parseBytes } from '../core/quantity.js';
import { isS3Uri } from '../core/store-location.js';
import type { ConfigFile } from './config-schema.js';

/** Something that the settings of Kubernetes pools need or contradict, and the key where it shows. */
export interface KubernetesProblem {
  readonly path: readonly string[];
  readonly message: string;
}

/** The first thing that Kubernetes pools lack. */
export function kubernetesProblem(config: ConfigFile): KubernetesProblem | undefined {
  for (const [name, pool] of Object.entries(config.pools ?? {})) {
    if (pool.executor !== 'kubernetes') continue;
    const path = ['pools', name, 'executor'];
    const says = `pools.${name}.executor is "kubernetes"`;
    if (config.kubernetes?.namespace === undefined)
      return {
        path,
        message: `${says}, and kubernetes.namespace is not set. Name the namespace of its Jobs.`,
      };
    if (config.kubernetes.image === undefined)
      return {
        path,
        message: `${says}, and kubernetes.image is not set. Name the image of Anneal that fetches and uploads in every pod.`,
      };
    if (config.store === undefined || !isS3Uri(config.store))
      return {
        path,
        message: `${says}, and pods do not reach the store ${config.store === undefined ? 'in .anneal/local' : `"${config.store}"`}. Set store: to s3://BUCKET/PREFIX.`,
      };
    const problem = amountProblem(name, pool);
    if (problem) return problem;
  }
  return undefined;
}

/** Defaults above what one attempt may ask. */
function amountProblem(
  name: string,
  pool: {
    readonly [k in 'memory' | 'ephemeralStorage']?: string | undefined;
  } & {
    readonly cpu?: number | undefined;
    readonly defaults?:
      | {
          readonly cpu?: number | undefined;
          readonly memory?: string | undefined;
          readonly ephemeralStorage?: string | undefined;
        }
      | undefined;
  },
): KubernetesProblem | undefined {
  const above = (['cpu', 'memory', 'ephemeralStorage'] as const).find((key) => {
    const [most, usual] = [pool[key], pool.defaults?.[key]];
    return most !== undefined && usual !== undefined && amount(usual) > amount(most);
  });
  return above === undefined
    ? undefined
    : {
        path: ['pools', name, 'defaults', above],
        message: `pools.${name}.defaults.${above} is ${String(pool.defaults?.[above])}, which is more than one attempt may ask (${String(pool[above])}). Lower it, or raise pools.${name}.${above}.`,
      };
}

function amount(value: number | string): number {
  return typeof value === 'number' ? value : parseBytes(value);
}
