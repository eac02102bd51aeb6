import type { KubernetesPlacement, KubernetesSettings } from '../../../core/kubernetes.js';
import { KubernetesApiError } from '../api-error.js';
import type { S3Settings } from '../../../core/store-location.js';
import type { ApiTransport } from '../api-transport.js';
import type { KubeConnection } from '../kube-config.js';

/** What one look at the cluster found. */
export interface ClusterFinding {
  readonly name: string;
  readonly level: 'ok' | 'warning' | 'error';
  readonly found: string;
  /** What to do about it. */
  readonly mend?: string;
}

/** A pool as far as it is looked at. */
export interface InspectedPool {
  readonly name: string;
  readonly gpu: number;
  readonly gpuType?: string;
  readonly placement: KubernetesPlacement;
}

/** What is looked at, and how. */
export interface Inspection {
  readonly transport: ApiTransport;
  readonly connection: Pick<KubeConnection, 'server' | 'context' | 'namespace'>;
  readonly settings: KubernetesSettings;
  readonly pools: readonly InspectedPool[];
  /** Looked at from inside of a pod where it is given. */
  readonly store?: InspectedStore;
  /** How long the pod that does it may take. */
  readonly podPatienceMs?: number;
}

/** A store as pods are told of it. */
export interface InspectedStore {
  readonly uri: string;
  readonly s3?: S3Settings;
}

/** An object, or why there is none. */
export type Found<T> = { readonly object: T } | 'absent' | 'forbidden';

/** Reads one thing. @throws KubernetesApiError for anything but "not there" and "you may not". */
export async function find<T>({ transport }: Pick<Inspection, 'transport'>, path: string): Promise<Found<T>> {
  try {
    return { object: JSON.parse(await transport.request({ method: 'GET', path, tries: TRIES })) as T };
  } catch (error) {
    if (error instanceof KubernetesApiError && error.status === 404) return 'absent';
    if (error instanceof KubernetesApiError && error.status === 403) return 'forbidden';
    throw error;
  }
}

/** Somebody waits for the answer. */
const TRIES = 2;

/** Path of something in the namespace. */
export function inNamespace({ connection }: Pick<Inspection, 'connection'>, rest: string): string {
  return `/api/v1/namespaces/${encodeURIComponent(connection.namespace)}/${rest}`;
}

/** Names for people: `a`, `a and b`, `a, b and c`. */
export function listed(names: readonly string[]): string {
  const last = names.at(-1) ?? '';
  return names.length < 2 ? last : `${names.slice(0, -1).join(', ')} and ${last}`;
}
