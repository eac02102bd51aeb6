import type { TemporalConnection } from '../client/index.js';
import type { ProjectConfig } from '../config/project-config.js';
import type { ProjectPaths } from '../config/project-paths.js';
import type { ModelIndex } from '../core/lineage.js';
import type { Project, ServiceAddresses } from './context.js';

/** Where the two services are: as anneal.yaml and the environment say, else the local ones. */
export async function findAddresses(config: ProjectConfig, paths: ProjectPaths): Promise<ServiceAddresses> {
  const { readLocalState } = await import('../local/local-servers.js');
  const { temporal, mlflow } = await readLocalState(paths.stateDir);
  const { address, namespace, uiUrl } = config.temporal;
  const temporalAddress = address ?? temporal?.address;
  const temporalUiUrl = uiUrl ?? (address === undefined ? temporal?.uiUrl : undefined);
  const trackingUri = config.mlflow.uri ?? mlflow?.address;
  return {
    namespace,
    ...(temporalAddress === undefined ? {} : { temporalAddress }),
    ...(temporalUiUrl === undefined ? {} : { temporalUiUrl }),
    ...(trackingUri === undefined ? {} : { trackingUri }),
  };
}

/** What a connection is made from. */
export interface ConnectionParts {
  readonly config: ProjectConfig;
  readonly paths: ProjectPaths;
  readonly addresses: () => Promise<ServiceAddresses>;
  readonly env: NodeJS.ProcessEnv;
}

/** One connection for the whole command, made when it is first needed. */
export function createConnection(
  parts: ConnectionParts,
): Pick<Project, 'client' | 'temporal' | 'reconnect' | 'close'> {
  const { config, paths } = parts;
  let opened: Promise<TemporalConnection> | undefined;
  const temporal = async () => await (opened ??= connect(parts));
  const close = async () => {
    const last = opened;
    opened = undefined;
    await last?.then(
      async ({ close: end }) => await end(),
      () => undefined,
    );
  };
  return {
    temporal,
    client: async () => {
      const [{ createAnnealClient }, { openStore }, { openReadCode }] = await Promise.all([
        import('../client/index.js'),
        import('../workers/open-store.js'),
        import('../workers/read-code.js'),
      ]);
      const { client } = await temporal();
      const store = openStore(paths);
      const models = await createModelIndex(parts);
      return createAnnealClient({
        temporal: client,
        project: config.project,
        store,
        attemptsDir: paths.attemptsDir,
        readCode: openReadCode(config, store),
        ...(models && { models }),
      });
    },
    reconnect: close,
    close,
  };
}

/** MLflow's registry, asked when lineage is. */
async function createModelIndex({
  addresses,
  env,
}: Pick<ConnectionParts, 'addresses' | 'env'>): Promise<ModelIndex | undefined> {
  const { trackingUri } = await addresses();
  if (trackingUri === undefined) return undefined;
  const index = async () => (await import('../workers/model-index.js')).openModelIndex({ trackingUri, env });
  return {
    find: async (of) => await (await index()).find(of),
    findByDigest: async (of) => await (await index()).findByDigest(of),
  };
}

async function connect({ config, paths, addresses }: ConnectionParts): Promise<TemporalConnection> {
  const [{ AnnealError, connectTemporal }, { createDataConverter, openStore }, { loadTemporalEndpoint }] =
    await Promise.all([
      import('../client/index.js'),
      import('../workers/open-store.js'),
      import('../workers/temporal-endpoint.js'),
    ]);
  const { temporalAddress, namespace } = await addresses();
  if (temporalAddress === undefined)
    throw new AnnealError(
      'ServerUnreachable',
      `Project "${config.project}" has no Temporal server yet. Start local servers and workers with "anneal up", or set TEMPORAL_ADDRESS.`,
    );
  const external = config.temporal.address !== undefined;
  const connection = loadTemporalEndpoint({ address: temporalAddress, external });
  return await connectTemporal({
    connection,
    namespace,
    dataConverter: createDataConverter(openStore(paths)),
  });
}
