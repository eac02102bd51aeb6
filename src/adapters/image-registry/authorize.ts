import type { RegistryCredentials } from './registry-credentials.js';

/** What a registry asked for, and what there is to give. */
export interface AuthorizationRequest {
  /** The header `WWW-Authenticate` of its answer. */
  readonly challenge: string;
  /** Such as `repository:library/python:pull`. */
  readonly scope: string;
  /** Of the registry. */
  readonly origin: string;
  readonly credentials: RegistryCredentials | undefined;
  readonly signal: AbortSignal;
}

/**
 * The header `Authorization` by which the registry will answer: for a `Bearer` challenge a token from the service that it names, for a
 * `Basic` one the user's name and password. Undefined where there is nothing to give.
 * @see https://distribution.github.io/distribution/spec/auth/token/
 */
export async function authorize(request: AuthorizationRequest): Promise<string | undefined> {
  const { challenge, credentials } = request;
  if (credentials?.kind === 'token') return `Bearer ${credentials.token}`;
  if (/^basic\b/i.test(challenge)) return credentials?.kind === 'password' ? basic(credentials) : undefined;
  if (!/^bearer\b/i.test(challenge)) return undefined;
  const { realm, service, scope = request.scope } = readChallenge(challenge);
  const url = realm === undefined ? undefined : tokenUrl(realm, request.origin);
  if (url === undefined) return undefined;
  const answer = await requestToken(url, { ...request, scope, service });
  const token = answer.token ?? answer.access_token;
  return typeof token === 'string' && token !== '' ? `Bearer ${token}` : undefined;
}

function readChallenge(challenge: string): { readonly [name: string]: string | undefined } {
  const found = [...challenge.matchAll(/([a-z_]+)=(?:"([^"]*)"|([^\s,"]+))/gi)];
  return Object.fromEntries(
    found.map(([, name = '', quoted, plain]) => [name.toLowerCase(), quoted ?? plain]),
  );
}

/** Credentials go to no service without TLS, but for a registry that has none either. */
function tokenUrl(realm: string, origin: string): URL | undefined {
  if (!URL.canParse(realm)) return undefined;
  const url = new URL(realm);
  return url.protocol === 'https:' || (url.protocol === 'http:' && origin.startsWith('http:'))
    ? url
    : undefined;
}

interface TokenAnswer {
  readonly token?: unknown;
  readonly access_token?: unknown;
}

async function requestToken(
  url: URL,
  { credentials, scope, service, signal }: AuthorizationRequest & { readonly service: string | undefined },
): Promise<TokenAnswer> {
  const named = { ...(service === undefined ? {} : { service }), scope };
  if (credentials?.kind === 'refresh') {
    const body = new URLSearchParams({
      ...named,
      grant_type: 'refresh_token',
      client_id: 'anneal',
      refresh_token: credentials.token,
    });
    return await readToken(await fetch(url, { method: 'POST', body, signal }));
  }
  for (const [name, value] of Object.entries(named)) url.searchParams.set(name, value);
  const headers = credentials?.kind === 'password' ? { authorization: basic(credentials) } : {};
  return await readToken(await fetch(url, { headers, signal }));
}

/** What is no token leaves the registry's own refusal to be told of. */
async function readToken(answer: Response): Promise<TokenAnswer> {
  if (!answer.ok) return {};
  const body: unknown = await answer.json().catch(() => undefined);
  return typeof body === 'object' && body !== null ? body : {};
}

function basic({ user, password }: Extract<RegistryCredentials, { readonly kind: 'password' }>): string {
  return `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`;
}
