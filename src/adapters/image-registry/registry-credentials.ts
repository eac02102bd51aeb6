import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { DOCKER_HUB, type ImageReference } from '../../core/image-reference.js';

/** Who asks a registry. */
export type RegistryCredentials =
  | { readonly kind: 'password'; readonly user: string; readonly password: string }
  /** Given to the registry as it is. */
  | { readonly kind: 'token'; readonly token: string }
  /** Exchanged for a token. */
  | { readonly kind: 'refresh'; readonly token: string };

/** What was found for an image; `hint`: what may be the matter where that is not enough. */
export interface FoundCredentials {
  readonly credentials?: RegistryCredentials;
  readonly hint?: string;
}

/**
 * What Docker's configuration file has for an image: `config.json`, or `.dockerconfigjson` as a Kubernetes secret of that type is
 * mounted, in the folder `DOCKER_CONFIG`, else in `~/.docker`. `DOCKER_CONFIG` may also name the file itself. Of several entries the
 * one with the longest path that the image's name starts with counts. Read each time: mounted secrets are renewed.
 */
export async function findCredentials(
  env: { readonly [name: string]: string | undefined },
  { registry, repository }: Pick<ImageReference, 'registry' | 'repository'>,
): Promise<FoundCredentials> {
  const config = await readDockerConfig(env);
  if (typeof config === 'string') return { hint: config };
  const places = registry === DOCKER_HUB ? HUB_KEYS : [registry];
  const names = places.map((place) => `${place}/${repository}/`);
  const [entry] = Object.entries(objectOf(config['auths']))
    .map(([key, value]) => ({ place: placeOf(key), value: objectOf(value) }))
    .filter(({ place }) => names.some((name) => name.startsWith(`${place}/`)))
    .sort((a, b) => b.place.length - a.place.length);
  const credentials = entry && readEntry(entry.value);
  if (credentials) return { credentials };
  const helpers = objectOf(config['credHelpers']);
  const helper =
    places.map((place) => helpers[place]).find((name) => name !== undefined) ?? config['credsStore'];
  return typeof helper === 'string'
    ? {
        hint: `the credential helper "${helper}" of Docker's configuration is not asked; put the login itself into the file`,
      }
    : {};
}

/** What Docker Hub is called in that file. */
const HUB_KEYS = ['index.docker.io', 'docker.io', DOCKER_HUB];

type Members = { readonly [name: string]: unknown };

/** The file's members; empty where there is no file; a text where it cannot be read. */
async function readDockerConfig(env: {
  readonly [name: string]: string | undefined;
}): Promise<Members | string> {
  const given = env['DOCKER_CONFIG'];
  const folder = given === undefined || given === '' ? path.join(env['HOME'] ?? '/', '.docker') : given;
  const files = ['config.json', '.dockerconfigjson', ''].map((name) => path.join(folder, name));
  for (const file of files) {
    const text = await readFile(file, 'utf8').catch(() => undefined);
    if (text === undefined) continue;
    try {
      return objectOf(JSON.parse(text));
    } catch {
      return `${file} is not JSON`;
    }
  }
  return given === undefined || given === '' ? {} : `there is no config.json at DOCKER_CONFIG (${given})`;
}

/** `https://index.docker.io/v1/` is `index.docker.io`; a path that narrows a key down stays. */
function placeOf(key: string): string {
  return key
    .replace(/^https?:\/\//, '')
    .replace(/\/(v1|v2)?\/?$/, '')
    .replace(/\/+$/, '');
}

function readEntry(entry: Members): RegistryCredentials | undefined {
  const { identitytoken, registrytoken, auth } = entry;
  if (isText(registrytoken)) return { kind: 'token', token: registrytoken };
  if (isText(identitytoken)) return { kind: 'refresh', token: identitytoken };
  if (isText(auth)) {
    const text = Buffer.from(auth, 'base64').toString('utf8');
    const colon = text.indexOf(':');
    return colon < 1
      ? undefined
      : { kind: 'password', user: text.slice(0, colon), password: text.slice(colon + 1).replace(/\0+$/, '') };
  }
  const { username, password } = entry;
  return isText(username) && isText(password) ? { kind: 'password', user: username, password } : undefined;
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value !== '';
}

function objectOf(value: unknown): Members {
  return typeof value === 'object' && value !== null ? (value as Members) : {};
}
