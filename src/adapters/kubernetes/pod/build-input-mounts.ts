import type { V1Volume, V1VolumeMount } from '@kubernetes/client-node';
import type { AttemptRequest } from '../../../core/attempt.js';
import { AnnealError } from '../../../core/failures.js';
import type { KubernetesPlacement } from '../../../core/kubernetes.js';
import { podPaths } from '../../../core/pod-layout.js';
import { POD_PATHS } from '../labels.js';

/** An input that lies on a volume of the pool. */
export interface InputMount {
  readonly input: string;
  /** Name of the volume in the pod; inputs of one claim share one. */
  readonly volume: string;
  readonly claim: string;
  /** Below the root of the claim; empty: its root. */
  readonly path: string;
}

/** @throws AnnealError InvalidConfig for an input that no volume of the pool holds, by name. */
export function inputMounts(
  { step, pool, inputs, access = {} }: AttemptRequest,
  { volumes }: Pick<KubernetesPlacement, 'volumes'>,
): readonly InputMount[] {
  const claims: string[] = [];
  return Object.entries(inputs).flatMap(([input, { uri }]): InputMount[] => {
    if (access[input] !== 'mount') return [];
    const found = Object.values(volumes)
      .flatMap(({ claim, holds }) => (holds !== undefined && isBelow(uri, holds) ? [{ claim, holds }] : []))
      .sort((a, b) => b.holds.length - a.holds.length)[0];
    if (found === undefined) {
      const held = Object.entries(volumes).flatMap(([name, { holds }]) =>
        holds === undefined ? [] : [`"${name}" holds ${holds}`],
      );
      throw new AnnealError(
        'InvalidConfig',
        `Step "${step}" is to find its input "${input}" (${uri}) mounted; ${held.length === 0 ? `no volume of pool "${pool}" says what it holds` : `of pool "${pool}" volume ${held.join(', ')}`}. Set pools.${pool}.volumes.<name>.holds in anneal.yaml to the URI that lies at the root of the claim, or take the input out of access.`,
      );
    }
    if (!claims.includes(found.claim)) claims.push(found.claim);
    const volume = `inputs-${claims.indexOf(found.claim)}`;
    return [{ input, volume, claim: found.claim, path: uri.slice(found.holds.length + 1) }];
  });
}

/** Below it, and not out of it again. */
function isBelow(uri: string, holds: string): boolean {
  if (uri === holds) return true;
  if (!uri.startsWith(`${holds}/`)) return false;
  return uri
    .slice(holds.length + 1)
    .split('/')
    .every((segment) => segment !== '' && segment !== '.' && segment !== '..');
}

/** Where `fetch` has inputs that are mounted, to look whether they are there. */
export function mountedInFetch(mounts: readonly InputMount[]): { readonly [input: string]: string } {
  return Object.fromEntries(
    mounts.map(({ input, volume, path }) => [
      input,
      `${POD_PATHS.mounts}/${volume}${path === '' ? '' : `/${path}`}`,
    ]),
  );
}

/** Volumes of mounted inputs: `main` sees each input alone, at the path where it would be copied to. */
export function buildInputVolumes(mounts: readonly InputMount[]): {
  readonly volumes: readonly V1Volume[];
  readonly main: readonly V1VolumeMount[];
  readonly fetch: readonly V1VolumeMount[];
} {
  const byName = new Map(mounts.map((mount) => [mount.volume, mount]));
  return {
    volumes: [...byName].map(([name, { claim: claimName }]) => ({
      name,
      persistentVolumeClaim: { claimName, readOnly: true },
    })),
    main: mounts.map(({ input, volume: name, path: subPath }) => ({
      name,
      mountPath: `${podPaths().inputs}/${input}`,
      ...(subPath !== '' && { subPath }),
      readOnly: true,
    })),
    fetch: [...byName.keys()].map((name) => ({
      name,
      mountPath: `${POD_PATHS.mounts}/${name}`,
      readOnly: true,
    })),
  };
}
