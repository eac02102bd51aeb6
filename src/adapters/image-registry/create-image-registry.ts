import { createHash } from 'node:crypto';
import { setTimeout as wait } from 'node:timers/promises';
import type { ImageRegistry } from '../../activities/ports/image-registry.js';
import { parseImageReference, type ImageReference, type ResolvedImage } from '../../core/image-reference.js';
import { authorize } from './authorize.js';
import { findCredentials, type RegistryCredentials } from './registry-credentials.js';

/** What {@link createImageRegistry} takes. */
export interface ImageRegistryOptions {
  /** For `DOCKER_CONFIG` and `HOME`. */
  readonly env: { readonly [name: string]: string | undefined };
  /** Time for one image, all requests together. Default 5 s. */
  readonly timeoutMs?: number;
}

const TIMEOUT_MS = 5_000;
const RETRY_AFTER_MS = 200;
/** Of a manifest; registries refuse larger ones when they are pushed. */
const MANIFEST_BYTES = 4 * 1024 * 1024;
/** An index comes first: its digest is the same on machines of every kind. */
const MANIFESTS = [
  'application/vnd.oci.image.index.v1+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
  'application/vnd.oci.image.manifest.v1+json',
  'application/vnd.docker.distribution.manifest.v2+json',
].join(', ');
const DIGEST = /^sha256:[0-9a-f]{64}$/;

/**
 * Asks registries by the API of the OCI distribution specification ("Docker Registry HTTP API V2"), without a name or with what
 * Docker's configuration file has for them. Those of this machine are asked without TLS, as Docker does. Lookups of one image at the
 * same time are one.
 */
export function createImageRegistry({ env, timeoutMs = TIMEOUT_MS }: ImageRegistryOptions): ImageRegistry {
  const underWay = new Map<string, Promise<ResolvedImage>>();
  const resolve = async (image: string): Promise<ResolvedImage> => {
    const reference = parseImageReference(image);
    if (reference === undefined) return { problem: 'it is not the name of an image' };
    if (reference.digest !== undefined) return { digest: reference.digest };
    const signal = AbortSignal.timeout(timeoutMs);
    try {
      const found = await findCredentials(env, reference);
      return await ask({ reference, signal, credentials: found.credentials }).then((answer) =>
        'problem' in answer && found.hint !== undefined
          ? { problem: `${answer.problem} (${found.hint})` }
          : answer,
      );
    } catch (error) {
      const { registry } = reference;
      return signal.aborted
        ? { problem: `${registry} did not answer within ${timeoutMs / 1_000} s` }
        : { problem: `${registry} could not be asked: ${reasonOf(error)}` };
    }
  };
  return {
    resolve: async (image) => {
      const known = underWay.get(image);
      if (known !== undefined) return await known;
      const asked = resolve(image).finally(() => underWay.delete(image));
      underWay.set(image, asked);
      return await asked;
    },
  };
}

interface Question {
  readonly reference: ImageReference;
  readonly signal: AbortSignal;
  readonly credentials: RegistryCredentials | undefined;
}

async function ask(question: Question): Promise<ResolvedImage> {
  const { reference } = question;
  let answer = await request(question, 'HEAD');
  // Not every registry knows HEAD, and not every answer to it has the digest.
  if (answer.status === 405 || (answer.ok && digestOf(answer) === undefined))
    answer = await request(question, 'GET');
  if (!answer.ok) return { problem: refusal(reference, answer.status) };
  const named = digestOf(answer);
  if (named !== undefined) return { digest: named };
  const bytes = await readManifest(answer);
  return bytes === undefined
    ? { problem: `${reference.registry} answered with something that is no manifest` }
    : { digest: `sha256:${createHash('sha256').update(bytes).digest('hex')}` };
}

function digestOf(answer: Response): string | undefined {
  const named = answer.headers.get('docker-content-digest') ?? '';
  return DIGEST.test(named) ? named : undefined;
}

/** One request, with what the registry asks for to be let in; again, once, when it fails in a way that passes. */
async function request(question: Question, method: 'HEAD' | 'GET'): Promise<Response> {
  const { reference, signal, credentials } = question;
  const { registry, repository, tag = 'latest' } = reference;
  const origin = `${isLocal(registry) ? 'http' : 'https'}://${registry}`;
  const url = `${origin}/v2/${repository}/manifests/${tag}`;
  const send = async (authorization?: string) =>
    await fetch(url, {
      method,
      signal,
      headers: { accept: MANIFESTS, ...(authorization === undefined ? {} : { authorization }) },
    });
  for (let attempt = 1; ; attempt++) {
    try {
      const first = await send();
      const challenge = first.status === 401 ? first.headers.get('www-authenticate') : null;
      if (challenge === null) {
        if (first.status < 500 || attempt > 1) return first;
      } else {
        const scope = `repository:${repository}:pull`;
        const authorization = await authorize({ challenge, scope, origin, credentials, signal });
        return authorization === undefined ? first : await send(authorization);
      }
    } catch (error) {
      if (signal.aborted || attempt > 1) throw error;
    }
    await wait(RETRY_AFTER_MS, undefined, { signal });
  }
}

/** Docker takes these to be without TLS, too. */
function isLocal(registry: string): boolean {
  return /^(localhost|127(\.\d+){3}|\[::1\])(:\d+)?$/.test(registry);
}

async function readManifest(answer: Response): Promise<Uint8Array | undefined> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of answer.body ?? []) {
    size += chunk.byteLength;
    if (size > MANIFEST_BYTES) return undefined;
    chunks.push(chunk);
  }
  const bytes = Buffer.concat(chunks);
  // A page for people is no manifest, whatever its status.
  return /json/.test(answer.headers.get('content-type') ?? '') ? bytes : undefined;
}

function refusal({ registry, repository, tag = '' }: ImageReference, status: number): string {
  if (status === 404) return `${registry} has no tag "${tag}" of "${repository}"`;
  if (status === 401 || status === 403)
    return `${registry} does not let this worker read "${repository}" (HTTP ${status}); give credentials in Docker's config.json or by DOCKER_CONFIG`;
  if (status === 429) return `${registry} asks to slow down (HTTP 429)`;
  return `${registry} answered with HTTP ${status}`;
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { cause } = error;
  const found = cause instanceof Error ? cause : error;
  return 'code' in found && typeof found.code === 'string' && !found.message.includes(found.code)
    ? `${found.code}: ${found.message}`.replace(/: $/, '')
    : found.message;
}
