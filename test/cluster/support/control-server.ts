import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

/** One thing that a step in a pod told. */
export interface Told {
  readonly control: string;
  readonly event: string;
  readonly step: string;
  readonly attempt: number;
  /** Units of work behind it: at a start, those of the checkpoint. */
  readonly units: number;
}

/** Hears what steps in pods do, and tells them when to finish: they share no file system with the test. */
export interface ControlServer {
  readonly url: string;
  told(control: string): readonly Told[];
  finish(control: string): void;
  close(): Promise<void>;
}

/** Starts the server where pods reach it. */
export async function startControlServer(host: string): Promise<ControlServer> {
  const told: Told[] = [];
  const finished = new Set<string>();
  const server = createServer((request, response) => {
    const { pathname, searchParams } = new URL(request.url ?? '/', 'http://control');
    const [, control = '', event = ''] = pathname.split('/');
    if (event !== 'finished') {
      const number = (name: string) => Number(searchParams.get(name) ?? 0);
      const step = searchParams.get('step') ?? '';
      told.push({ control, event, step, attempt: number('attempt'), units: number('units') });
    }
    response.end(finished.has(control) ? 'finish\n' : 'go on\n');
  });
  await new Promise<void>((resolve) => server.listen(0, host, resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://${host}:${port}`,
    told: (control) => told.filter((one) => one.control === control),
    finish: (control) => void finished.add(control),
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
