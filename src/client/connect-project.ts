import type { Client } from '@temporalio/client';
import { AnnealError } from '../core/failures.js';
import { createAnnealClient, type AnnealClient } from './anneal-client.js';
import { connectTemporal } from './connect.js';

/** Which project, and with which environment. */
export interface ConnectProjectOptions {
  /** Its anneal.yaml, or the directory that holds it. Default: searched from the working directory upward. */
  readonly project?: string;
  /** What beats anneal.yaml: `TEMPORAL_ADDRESS` and the other variables of docs/configuration.md. Default: that of this process. */
  readonly env?: { readonly [name: string]: string | undefined };
}

/** A project's client; `close` ends its connection. */
export interface ProjectConnection {
  readonly client: AnnealClient;
  /** Temporal's own client on the same connection: it reads payloads that are kept in the store, too. */
  readonly temporal: Client;
  readonly project: string;
  close(): Promise<void>;
}

/**
 * Connects to the server of a project as the commands do: reads anneal.yaml and the environment, finds a local server that
 * `anneal up` started, and opens the store, so that large payloads, ended runs and logs can be read.
 *
 * The one file of the client that knows adapters: what it composes is loaded when it is called.
 * @throws AnnealError InvalidConfig, ServerUnreachable.
 */
export async function connectProject(options: ConnectProjectOptions = {}): Promise<ProjectConnection> {
  const [
    { loadConfig },
    { projectPaths },
    { readLocalState },
    { createDataConverter, openStore },
    { openReadCode },
    { loadTemporalEndpoint },
  ] = await Promise.all([
    import('../config/load-config.js'),
    import('../config/project-paths.js'),
    import('../local/local-servers.js'),
    import('../workers/open-store.js'),
    import('../workers/read-code.js'),
    import('../workers/temporal-endpoint.js'),
  ]);
  const { project: path, env = process.env } = options;
  const config = await loadConfig({ cwd: process.cwd(), env, ...(path === undefined ? {} : { path }) });
  const paths = projectPaths(config);
  const { project } = config;
  const { namespace, address: set } = config.temporal;
  const address = set ?? (await readLocalState(paths.stateDir)).temporal?.address;
  if (address === undefined)
    throw new AnnealError(
      'ServerUnreachable',
      `Project "${project}" has no Temporal server yet. Start local servers and workers with "anneal up", or set TEMPORAL_ADDRESS.`,
    );
  const store = openStore(paths);
  const { client: temporal, close } = await connectTemporal({
    connection: loadTemporalEndpoint({ address, external: set !== undefined }),
    namespace,
    dataConverter: createDataConverter(store),
  });
  const client = createAnnealClient({
    ...{ temporal, project, store, attemptsDir: paths.attemptsDir },
    readCode: openReadCode(config, store),
  });
  return { client, temporal, project, close };
}
