/** The name of a container image, as `docker pull` and Kubernetes read it. */
export interface ImageReference {
  /** As it was written, without tag and digest. */
  readonly name: string;
  /** Host, and port where there is one, that is asked for it. */
  readonly registry: string;
  /** Its name there. */
  readonly repository: string;
  /** `latest` where neither tag nor digest is given. */
  readonly tag?: string;
  /** `sha256:` and 64 hex digits. */
  readonly digest?: string;
}

/** What a name of an image meant when a run began: one content, or why that is not known. */
export type ResolvedImage = { readonly digest: string } | { readonly problem: string };

/** What a run knows of the images of its steps, by their names as the steps have them. */
export type ResolvedImages = { readonly [image: string]: ResolvedImage };

/** Where images without a host in their names are, and what its hosts are called in names. */
export const DOCKER_HUB = 'registry-1.docker.io';
const HUB_NAMES = new Set(['docker.io', 'index.docker.io', DOCKER_HUB]);

const PATH = /^[a-z0-9]+(?:(?:\.|_{1,2}|-+)[a-z0-9]+)*$/;
const HOST =
  /^(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*|\[[0-9a-fA-F:]+\])(?::\d+)?$/;
const TAG = /^\w[\w.-]{0,127}$/;
const DIGEST = /^sha256:[0-9a-f]{64}$/;

/** Reads the name of an image by the grammar of `distribution/reference`; undefined: it is none. */
export function parseImageReference(text: string): ImageReference | undefined {
  const [beforeDigest = '', digest, ...more] = text.split('@');
  if (more.length > 0 || (digest !== undefined && !DIGEST.test(digest))) return undefined;
  const colon = beforeDigest.indexOf(':', beforeDigest.lastIndexOf('/') + 1);
  const name = colon < 0 ? beforeDigest : beforeDigest.slice(0, colon);
  const tag = colon < 0 ? undefined : beforeDigest.slice(colon + 1);
  if (tag !== undefined && !TAG.test(tag)) return undefined;
  const place = placeOf(name);
  if (place === undefined) return undefined;
  if (digest !== undefined) return { name, ...place, ...(tag === undefined ? {} : { tag }), digest };
  return { name, ...place, tag: tag ?? 'latest' };
}

function placeOf(name: string): Pick<ImageReference, 'registry' | 'repository'> | undefined {
  const [first = '', ...rest] = name.split('/');
  const hasHost = rest.length > 0 && (/[.:A-Z]/.test(first) || first === 'localhost');
  if (hasHost && !HOST.test(first)) return undefined;
  const path = hasHost ? rest : [first, ...rest];
  if (!path.every((part) => PATH.test(part))) return undefined;
  if (hasHost && !HUB_NAMES.has(first)) return { registry: first, repository: path.join('/') };
  return { registry: DOCKER_HUB, repository: (path.length === 1 ? ['library', ...path] : path).join('/') };
}

/** Whether the name says which bytes are meant, now and for ever. */
export function isPinnedImage(image: string): boolean {
  return parseImageReference(image)?.digest !== undefined;
}

/** The image that a step runs in on a pool, by its digest where that is known; undefined: none. */
export function imageOn(
  pool: string,
  image: string | undefined,
  known: { readonly images?: ResolvedImages; readonly poolImages?: { readonly [pool: string]: string } },
): string | undefined {
  const named = image ?? known.poolImages?.[pool];
  return named === undefined ? undefined : pinImage(named, known.images);
}

/** The name by which an image is run and kept in keys: by its digest where that is known, else as it was written. */
export function pinImage(image: string, resolved: ResolvedImages | undefined): string {
  const found = resolved?.[image];
  const name = parseImageReference(image)?.name;
  return found === undefined || 'problem' in found || name === undefined ? image : `${name}@${found.digest}`;
}

/** Why it is not known which bytes an image has; undefined where it is. */
export function problemOfImage(image: string, resolved: ResolvedImages | undefined): string | undefined {
  if (isPinnedImage(image)) return undefined;
  const found = resolved?.[image] ?? { problem: 'no registry was asked for it' };
  return 'problem' in found ? found.problem : undefined;
}
