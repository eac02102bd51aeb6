import { randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { setTimeout as wait } from 'node:timers/promises';
import { createApiState, selects, type ApiObject, type Change } from './fake-api-state.js';

/** One request as it came. */
export interface SeenRequest {
  readonly method: string;
  /** Path without the query. */
  readonly path: string;
  readonly resource: string;
  readonly query: URLSearchParams;
  readonly watch: boolean;
  readonly atMs: number;
  readonly headers: IncomingMessage['headers'];
  readonly body: unknown;
}

/** What is answered instead. */
export interface Fault {
  readonly method?: string;
  readonly resource?: string;
  /** Only watches, or only what is no watch. */
  readonly watch?: boolean;
  /** How often; default: once. */
  readonly times?: number;
  /** `lost`: carried out, and the connection cut before the answer. */
  readonly answer:
    | 'cut'
    | 'lost'
    | 'hang'
    | { readonly status: number; readonly message?: string; readonly retryAfter?: number };
}

interface Watch {
  readonly resource: string;
  readonly selector: string | null;
  readonly response: ServerResponse;
}

/**
 * An API server that exists in this process: objects, lists in pages, watches with bookmarks, and faults. Nothing happens in it by itself: a test
 * plays controller and kubelet with `put`, `setStatus` and `remove`.
 */
export async function startFakeApiServer(options: { readonly namespace?: string } = {}) {
  const namespace = options.namespace ?? 'team-a';
  const state = createApiState();
  const requests: SeenRequest[] = [];
  const sockets = new Set<Socket>();
  const watches = new Set<Watch>();
  const faults: { fault: Fault; left: number }[] = [];
  const logs = new Map<string, string>();
  /** What is answered under a path as it is. */
  const documents = new Map<string, unknown>([
    ['/version', { major: '1', minor: '36', gitVersion: 'v1.36.3' }],
  ]);
  const conduct = {
    delayMs: 0,
    mute: false,
    truncateNext: false,
    garbageNext: false,
    bookmarks: true,
    token: '',
    goneInStream: false,
  };
  let connections = 0;
  let allowed: (asked: { verb: string; resource: string; subresource?: string }) => boolean = () => true;

  const server = createServer((request, response) => {
    answer(request, response).catch((error: unknown) => {
      if (!response.headersSent) refuse(response, 500, String(error));
      else response.destroy();
    });
  });
  server.on('connection', (socket) => {
    connections++;
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
  });

  const stopTelling = state.onChange((change) => {
    for (const watch of watches) tell(watch, change);
  });

  const tell = (watch: Watch, { type, object, resource }: Change) => {
    if (watch.resource !== resource || !selects(watch.selector, object) || conduct.mute) return;
    const line = `${JSON.stringify({ type, object })}\n`;
    if (conduct.truncateNext || conduct.garbageNext) {
      const sent = conduct.truncateNext ? line.slice(0, line.length / 2) : `{"type":"MOD\n`;
      watches.delete(watch);
      if (watches.size === 0) conduct.truncateNext = conduct.garbageNext = false;
      watch.response.end(sent);
      return;
    }
    watch.response.write(line);
  };

  const answer = async (request: IncomingMessage, response: ServerResponse) => {
    const url = new URL(request.url ?? '/', 'http://server');
    const place = readPlace(url.pathname);
    const body = await readBody(request);
    const seen: SeenRequest = {
      method: request.method ?? 'GET',
      path: url.pathname,
      resource: place.resource,
      query: url.searchParams,
      watch: url.searchParams.get('watch') === 'true',
      atMs: performance.now(),
      headers: request.headers,
      body,
    };
    requests.push(seen);
    if (conduct.token !== '' && request.headers.authorization !== `Bearer ${conduct.token}`)
      return void response.writeHead(401).end();
    const fault = takeFault(faults, seen);
    if (fault === 'cut') return void request.socket.destroy();
    if (fault === 'hang') return;
    if (typeof fault === 'object')
      return refuse(response, fault.status, fault.message ?? 'made up', fault.retryAfter);
    if (conduct.delayMs > 0) await wait(conduct.delayMs);
    if (seen.watch) return openWatch(seen, response);
    const answered = carryOut(seen, place);
    if (fault === 'lost') return void request.socket.destroy();
    if (answered.status >= 400)
      return refuse(response, answered.status, String(answered.body), undefined, answered.field);
    const text = typeof answered.body === 'string' ? answered.body : JSON.stringify(answered.body);
    response.writeHead(answered.status, { 'content-type': 'application/json' }).end(text);
  };

  const openWatch = ({ resource, query }: SeenRequest, response: ServerResponse) => {
    const past = state.since(resource, Number(query.get('resourceVersion')));
    if (past === undefined) {
      if (!conduct.goneInStream) return refuse(response, 410, 'too old resource version');
      const object = { kind: 'Status', code: 410, reason: 'Expired', message: 'too old resource version' };
      return void response.writeHead(200).end(`${JSON.stringify({ type: 'ERROR', object })}\n`);
    }
    response.writeHead(200, { 'content-type': 'application/json' }).flushHeaders();
    const watch = { resource, selector: query.get('labelSelector'), response };
    watches.add(watch);
    response.on('close', () => watches.delete(watch));
    for (const change of past) tell(watch, change);
    const seconds = Number(query.get('timeoutSeconds') ?? 3600);
    const timer = setTimeout(() => {
      watches.delete(watch);
      if (!conduct.mute) response.end();
    }, seconds * 1000);
    response.on('close', () => clearTimeout(timer));
  };

  const carryOut = (seen: SeenRequest, { resource, name, sub }: Place): Answer => {
    if (resource === 'selfsubjectaccessreviews') {
      const { spec } = seen.body as { spec: { resourceAttributes: Parameters<typeof allowed>[0] } };
      return { status: 201, body: { status: { allowed: allowed(spec.resourceAttributes) } } };
    }
    if (documents.has(seen.path)) return { status: 200, body: documents.get(seen.path) };
    if (resource === '' || seen.path.split('/').length < 4)
      return { status: 404, body: 'the server could not find the requested resource' };
    if (name === undefined && seen.method === 'GET') return listed(seen, resource);
    if (seen.method === 'POST') return created(seen, resource);
    const known = name === undefined ? undefined : state.read(resource, name);
    if (!known) return { status: 404, body: `${resource} "${name ?? seen.path}" not found` };
    if (sub === 'log') {
      const text = logs.get(known.metadata.name);
      return text === undefined
        ? { status: 400, body: `container "main" in pod "${known.metadata.name}" is waiting to start` }
        : {
            status: 200,
            body: text
              .split('\n')
              .slice(-Number(seen.query.get('tailLines')))
              .join('\n'),
          };
    }
    if (seen.method === 'DELETE') return deleted(seen, resource, known);
    if (seen.method === 'PATCH') return patched(seen, resource, known);
    return { status: 200, body: known };
  };

  const listed = ({ query }: SeenRequest, resource: string): Answer => {
    const found = state.list(
      resource,
      (object) =>
        selects(query.get('labelSelector'), object) && hasFields(query.get('fieldSelector'), object),
    );
    const from = Number(query.get('continue') ?? 0);
    const limit = Number(query.get('limit') ?? found.length);
    const next = from + limit < found.length ? String(from + limit) : '';
    const metadata = { resourceVersion: String(state.version), continue: next };
    return { status: 200, body: { metadata, items: found.slice(from, from + limit) } };
  };

  const created = ({ body, query }: SeenRequest, resource: string): Answer => {
    const object = body as ApiObject;
    if (state.read(resource, object.metadata.name))
      return { status: 409, body: `AlreadyExists: ${resource} "${object.metadata.name}" already exists` };
    if (query.get('dryRun') === 'All') return { status: 201, body: object };
    return {
      status: 201,
      body: state.put(resource, { ...object, metadata: { ...object.metadata, namespace } }),
    };
  };

  const deleted = ({ body }: SeenRequest, resource: string, known: ApiObject): Answer => {
    const { preconditions, gracePeriodSeconds } = body as {
      preconditions?: { uid?: string };
      gracePeriodSeconds?: number;
    };
    if (preconditions?.uid !== undefined && preconditions.uid !== known.metadata.uid)
      return { status: 409, body: `Precondition failed: UID in precondition: ${preconditions.uid}` };
    // A pod stays until the kubelet, which the test plays, has ended it.
    if (resource === 'pods') {
      const metadata = {
        ...known.metadata,
        deletionTimestamp: new Date().toISOString(),
        deletionGracePeriodSeconds: gracePeriodSeconds,
      };
      state.put('pods', { ...known, metadata });
    } else state.remove(resource, known.metadata.name);
    if (resource === 'jobs')
      for (const pod of podsOf(known.metadata.name))
        state.put('pods', {
          ...pod,
          metadata: { ...pod.metadata, deletionTimestamp: new Date().toISOString() },
        });
    return { status: 200, body: { kind: 'Status', status: 'Success' } };
  };

  const patched = ({ body }: SeenRequest, resource: string, known: ApiObject): Answer => {
    const { metadata, ...rest } = body as Partial<ApiObject>;
    if (metadata?.uid !== undefined && metadata.uid !== known.metadata.uid)
      return { status: 422, body: 'field is immutable', field: 'metadata.uid' };
    return { status: 200, body: state.put(resource, merge(known, rest) as ApiObject) };
  };

  const podsOf = (job: string) =>
    state.list('pods', ({ metadata }) => metadata.labels?.['batch.kubernetes.io/job-name'] === job);

  await listen(server, 0);
  const { port } = server.address() as AddressInfo;
  const url = `http://127.0.0.1:${port}`;
  const cutAll = () => {
    for (const socket of sockets) socket.destroy();
  };
  return {
    url,
    namespace,
    state,
    requests,
    logs,
    documents,
    conduct,
    /** What a transport is made with. */
    connection: {
      server: url,
      context: 'fake',
      namespace,
      credentials: async () =>
        await Promise.resolve({
          headers: conduct.token === '' ? {} : { authorization: `Bearer ${conduct.token}` },
          tls: {},
        }),
      renew: () => undefined,
    },
    get connections() {
      return connections;
    },
    get openWatches() {
      return watches.size;
    },
    allow: (rule: typeof allowed) => void (allowed = rule),
    fail: (fault: Fault) => void faults.push({ fault, left: fault.times ?? 1 }),
    cutWatches: () => {
      for (const { response } of watches) response.socket?.destroy();
    },
    endWatches: () => {
      for (const watch of watches) {
        watches.delete(watch);
        watch.response.end();
      }
    },
    bookmark: () => {
      for (const { response, resource } of watches)
        response.write(
          `${JSON.stringify({ type: 'BOOKMARK', object: { kind: resource, metadata: { resourceVersion: String(state.version) } } })}\n`,
        );
    },
    podsOf,
    /** Makes a pod of a Job, as the Job controller does. */
    addPod: (job: string, status: object = { phase: 'Pending' }) => {
      const owner = state.read('jobs', job);
      const labels = { ...owner?.metadata.labels, 'batch.kubernetes.io/job-name': job };
      const { spec } = (owner?.['spec'] as { template?: { spec?: object } } | undefined)?.template ?? {};
      const metadata = { name: `${job}-${randomUUID().slice(0, 5)}`, namespace, labels };
      return state.put('pods', { apiVersion: 'v1', kind: 'Pod', metadata, spec: spec ?? {}, status });
    },
    setStatus: (resource: 'jobs' | 'pods', name: string, status: object) => {
      const known = state.read(resource, name);
      if (!known) throw new Error(`there is no ${resource} ${name}`);
      return state.put(resource, { ...known, status: { ...(known['status'] as object), ...status } });
    },
    /** The server goes away; `comeBack` brings it back at its address with all it knew. */
    goAway: async () => {
      const closed = new Promise((resolve) => server.close(resolve));
      cutAll();
      await closed;
    },
    comeBack: async () => await listen(server, port),
    close: async () => {
      stopTelling();
      const closed = new Promise((resolve) => server.close(resolve));
      cutAll();
      await closed;
    },
  };
}

/** A fake API server that runs. */
export type FakeApiServer = Awaited<ReturnType<typeof startFakeApiServer>>;

interface Answer {
  readonly status: number;
  /** What was refused. */
  readonly field?: string;
  readonly body: unknown;
}

interface Place {
  readonly resource: string;
  readonly name?: string;
  readonly sub?: string;
}

/** `/apis/batch/v1/namespaces/x/jobs/y/status` and `/api/v1/nodes/y`. */
function readPlace(path: string): Place {
  const parts = path.split('/').filter((part) => part !== '');
  const rest = parts.slice(parts[0] === 'api' ? 2 : 3);
  const [resource = '', name, sub] = rest[0] === 'namespaces' && rest.length > 2 ? rest.slice(2) : rest;
  return { resource, ...(name === undefined ? {} : { name }), ...(sub === undefined ? {} : { sub }) };
}

function takeFault(faults: { fault: Fault; left: number }[], seen: SeenRequest): Fault['answer'] | undefined {
  const found = faults.find(
    ({ fault, left }) =>
      left > 0 &&
      (fault.method === undefined || fault.method === seen.method) &&
      (fault.resource === undefined || fault.resource === seen.resource) &&
      (fault.watch === undefined || fault.watch === seen.watch),
  );
  if (!found) return undefined;
  found.left--;
  return found.fault.answer;
}

function hasFields(selector: string | null, object: ApiObject): boolean {
  if (selector === null) return true;
  return selector.split(',').every((term) => {
    const [path = '', value] = term.split('=');
    const found = path
      .split('.')
      .reduce<unknown>((at, key) => (at as { [key: string]: unknown } | undefined)?.[key], object);
    return found === value;
  });
}

function merge(into: unknown, patch: unknown): unknown {
  if (typeof patch !== 'object' || patch === null || Array.isArray(patch)) return patch;
  const merged: { [name: string]: unknown } = { ...(into as { [name: string]: unknown } | undefined) };
  for (const [name, value] of Object.entries(patch)) merged[name] = merge(merged[name], value);
  return merged;
}

function refuse(
  response: ServerResponse,
  code: number,
  message: string,
  retryAfter?: number,
  field?: string,
): void {
  const reasons: { [code: number]: string } = {
    403: 'Forbidden',
    404: 'NotFound',
    409: 'Conflict',
    410: 'Expired',
    422: 'Invalid',
  };
  const reason = message.startsWith('AlreadyExists') ? 'AlreadyExists' : reasons[code];
  response
    .writeHead(code, {
      'content-type': 'application/json',
      ...(retryAfter === undefined ? {} : { 'retry-after': String(retryAfter) }),
    })
    .end(
      JSON.stringify({
        kind: 'Status',
        status: 'Failure',
        message,
        code,
        ...(reason && { reason }),
        ...(field && { details: { causes: [{ field, message }] } }),
      }),
    );
}

async function readBody(request: IncomingMessage): Promise<unknown> {
  let text = '';
  for await (const chunk of request) text += String(chunk);
  return text === '' ? {} : (JSON.parse(text) as unknown);
}

async function listen(server: ReturnType<typeof createServer>, port: number): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject).listen(port, '127.0.0.1', resolve);
  });
}
