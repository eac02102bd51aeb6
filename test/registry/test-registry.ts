import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** A registry of images with the API of the OCI distribution specification, on this machine, that answers as a test needs it. */
export interface TestRegistry {
  /** Host and port, as they stand in names of images. */
  readonly host: string;
  /** `<repository>:<tag>` to the digest. */
  readonly tags: Map<string, string>;
  /** `METHOD path` of everything that was asked, tokens included. */
  readonly asked: string[];
  /** Who may read; absent: everybody. */
  guard?: Guard;
  /** Answers instead; `false`: as usual. */
  meddle?: (asked: IncomingMessage, answer: ServerResponse) => boolean;
  stop(): Promise<void>;
}

/** How a registry asks who somebody is. */
export interface Guard {
  readonly scheme: 'Basic' | 'Bearer';
  /** `user:password`, or `refresh:TOKEN`; absent: a token is given to everybody. */
  readonly login?: string;
  /** Of the challenge; default: this registry's own token service. */
  readonly realm?: string;
}

const TOKEN = 'the-token';

/** Starts it. */
export async function startTestRegistry(): Promise<TestRegistry> {
  const server = createServer((asked, answer) => {
    registry.asked.push(`${asked.method ?? ''} ${asked.url ?? ''}`);
    if (registry.meddle?.(asked, answer) === true) return;
    void (asked.url?.startsWith('/token') === true
      ? giveToken(registry, asked, answer)
      : giveManifest(registry, asked, answer));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const registry: TestRegistry = {
    host: `127.0.0.1:${port}`,
    tags: new Map(),
    asked: [],
    stop: async () => {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
  return registry;
}

async function giveToken(
  { guard }: TestRegistry,
  asked: IncomingMessage,
  answer: ServerResponse,
): Promise<void> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of asked) if (chunk instanceof Uint8Array) chunks.push(chunk);
  const refresh = new URLSearchParams(Buffer.concat(chunks).toString()).get('refresh_token');
  const given = refresh === null ? readBasic(asked) : `refresh:${refresh}`;
  const lets = guard?.login === undefined || guard.login === given;
  answer.writeHead(lets ? 200 : 401, { 'content-type': 'application/json' });
  answer.end(JSON.stringify(lets ? { token: TOKEN } : { details: 'incorrect username or password' }));
}

function giveManifest(registry: TestRegistry, asked: IncomingMessage, answer: ServerResponse): void {
  const { guard, host, tags } = registry;
  const [, repository = '', tag = ''] = /^\/v2\/(.+)\/manifests\/([^/]+)$/.exec(asked.url ?? '') ?? [];
  if (guard !== undefined && !isLetIn(guard, asked)) {
    const realm = guard.realm ?? `http://${host}/token`;
    const bearer = `Bearer realm="${realm}",service="registry.test",scope="repository:${repository}:pull"`;
    answer.writeHead(401, { 'www-authenticate': guard.scheme === 'Basic' ? 'Basic realm="test"' : bearer });
    return void answer.end();
  }
  const digest = tags.get(`${repository}:${tag}`);
  if (digest === undefined) return void answer.writeHead(404).end();
  const accepts = asked.headers.accept ?? '';
  const type = 'application/vnd.oci.image.index.v1+json';
  // As registries do that still keep the first version of Docker's manifests, whose digest is another.
  if (!accepts.includes(type)) return void answer.writeHead(406).end();
  answer.writeHead(200, { 'content-type': type, 'docker-content-digest': digest });
  answer.end(asked.method === 'HEAD' ? undefined : '{}');
}

function isLetIn({ scheme, login }: Guard, asked: IncomingMessage): boolean {
  return scheme === 'Basic' ? login === readBasic(asked) : asked.headers.authorization === `Bearer ${TOKEN}`;
}

function readBasic(asked: IncomingMessage): string | undefined {
  const [, encoded] = /^Basic (.+)$/.exec(asked.headers.authorization ?? '') ?? [];
  return encoded === undefined ? undefined : Buffer.from(encoded, 'base64').toString();
}
