import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { FakeState } from './fake-mlflow-shapes.js';
import { createFakeState } from './fake-mlflow-state.js';

/**
 * What happens to the next request: its connection breaks before or after it was executed; 500 before or after; no answer at all, with
 * and without being executed; executed only when the test says so, long after its connection broke.
 */
export type Fault =
  | 'drop-before'
  | 'drop-after'
  | '500-before'
  | '500-after'
  | 'hang-before'
  | 'hang-after'
  | 'late'
  | 'host-refused'
  | '401';

/** An MLflow server in memory, on a real port, that misbehaves on request. */
export interface FakeMlflow {
  readonly url: string;
  readonly state: FakeState;
  /** `call` such as `POST runs/create`; `*` is every call. Used up in order. */
  fail(call: string, ...faults: Fault[]): void;
  /** Faults that have happened. */
  readonly happened: string[];
  /** Every call, in order. */
  readonly calls: string[];
  /** Called for every call before it is executed or misbehaves. */
  onCall: ((call: string) => void) | undefined;
  /** Executes the requests of fault `late`. */
  commitLate(): void;
  close(): Promise<void>;
}

/** Starts the fake on a free port of this machine. */
export async function startFakeMlflow(): Promise<FakeMlflow> {
  const state = createFakeState();
  const planned = new Map<string, Fault[]>();
  const happened: string[] = [];
  const calls: string[] = [];
  const late: (() => void)[] = [];

  const handle = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const url = new URL(request.url ?? '/', 'http://fake');
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const route = url.pathname.replace(/^\/api\/2\.0\/mlflow(-artifacts)?\//, (_, artifacts) =>
      artifacts ? 'artifacts:' : '',
    );
    const call = `${request.method ?? ''} ${route}`;
    calls.push(call);
    fake.onCall?.(call);
    const execute = () => state.execute({ call, query: url.searchParams, body: Buffer.concat(chunks) });
    const plan = planned.get(call)?.length ? planned.get(call) : planned.get('*');
    const fault = plan?.shift();
    if (fault !== undefined) {
      happened.push(`${call} ${fault}`);
      if (fault === 'late') late.push(execute);
      else if (fault.endsWith('-after')) execute();
      if (fault.startsWith('drop') || fault === 'late') return void request.socket.destroy();
      if (fault.startsWith('hang')) return;
      if (fault === 'host-refused')
        return void response
          .writeHead(403)
          .end('Invalid Host header - possible DNS rebinding attack detected');
      if (fault === '401') return void response.writeHead(401).end('You are not authenticated.');
      return answer(response, {
        status: 500,
        json: { error_code: 'INTERNAL_ERROR', message: 'the fake was told to fail' },
      });
    }
    answer(response, execute());
  };
  const server = createServer((request, response) => void handle(request, response));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const fake: FakeMlflow = {
    url: `http://127.0.0.1:${port}`,
    state,
    happened,
    calls,
    onCall: undefined,
    fail: (call, ...faults) => void planned.set(call, [...(planned.get(call) ?? []), ...faults]),
    commitLate: () => {
      for (const execute of late.splice(0)) execute();
    },
    close: () => {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
  return fake;
}

function answer(
  response: ServerResponse,
  { status, json, bytes }: { status: number; json?: unknown; bytes?: Buffer },
): void {
  response.writeHead(status, { 'content-type': bytes ? 'application/octet-stream' : 'application/json' });
  response.end(bytes ?? JSON.stringify(json ?? {}));
}
