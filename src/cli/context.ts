import type { AnnealClient, TemporalConnection } from '../client/index.js';
import type { ProjectConfig } from '../config/project-config.js';
import type { ProjectPaths } from '../config/project-paths.js';
import type { ModelIndex } from '../core/lineage.js';
import type { LocalServices } from '../local/local-servers.js';
import type { OnServer } from '../local/server-process.js';
import type { RunningWorker } from '../local/worker-process.js';
import type { Build } from '../workers/build/build-manifest.js';
import type { ProjectBuild } from '../workers/build/build-project.js';
import { withoutCredentials } from '../core/without-credentials.js';
import type { LinkBases } from './run-links.js';
import type { WatchCodeOptions } from './watch-code.js';

/** Where the two services of a project are: set by the user, or the local ones. */
export interface ServiceAddresses {
  readonly temporalAddress?: string;
  readonly temporalUiUrl?: string;
  readonly namespace: string;
  readonly trackingUri?: string;
}

/** A project as commands use it; everything heavy is loaded when it is first asked for. */
export interface Project {
  readonly config: ProjectConfig;
  readonly paths: ProjectPaths;
  /** @throws AnnealError ServerUnreachable. */
  client(): Promise<AnnealClient>;
  /** The connection itself, for the worker. */
  temporal(): Promise<TemporalConnection>;
  addresses(): Promise<ServiceAddresses>;
  links(): Promise<LinkBases>;
  /** The build that new runs use, else a new one. */
  currentBuild(): Promise<Build>;
  /** @throws AnnealError BuildFailed. */
  build(onProgress: (line: string) => void): Promise<ProjectBuild>;
  /** Builds again after every change of the code and makes the build current. @returns what ends it. */
  watch(options: WatchCodeOptions): Promise<() => void>;
  readonly stack: LocalStack;
  /** Lets go of the connection; the next client connects anew, to the address of then. */
  reconnect(): Promise<void>;
  close(): Promise<void>;
}

/** What of a project's local part was alive when it was looked at. */
export interface StackState {
  readonly servers: boolean;
  readonly worker: boolean;
}

/** The local servers and the worker of a project. */
export interface LocalStack {
  running(): Promise<StackState>;
  startServers(options: {
    readonly onProgress: (line: string) => void;
    readonly signal?: AbortSignal;
    readonly onServer?: OnServer;
    /** Temporal answers, and where MLflow will answer is known. */
    readonly onWorkable?: () => void;
  }): Promise<LocalServices>;
  stopServers(): Promise<readonly string[]>;
  /** Names of local servers that ended without being told to. */
  deadServers(): Promise<readonly string[]>;
  /** Runs work that no other command of this machine does for this project at the same time. */
  inTurn<T>(work: () => Promise<T>): Promise<T>;
  /** Makes a build the one that new runs use; workers of this machine notice. */
  makeCurrent(build: string): Promise<void>;
  /** The build that new runs use, before the first undefined. */
  readCurrent(): Promise<string | undefined>;
  /** Whether another build takes a share of new runs. */
  isRamping(): Promise<boolean>;
  /** A worker of this machine that takes work: that of `anneal up`, else one run by hand. */
  worker(): Promise<Pick<RunningWorker, 'process'> | undefined>;
  /** @param options `replace: false`: a worker that runs with other settings is left as it is. */
  ensureWorker(options?: { readonly replace?: boolean }): Promise<RunningWorker>;
  /** @throws SetupError when the worker does not take up work. */
  workerReady(options: {
    readonly worker: Pick<RunningWorker, 'process'>;
    readonly build: string;
    readonly signal: AbortSignal;
  }): Promise<void>;
  /** @param only Stop it if it is still this process. */
  stopWorker(only?: RunningWorker['process']): Promise<boolean>;
  /** One sentence when the worker of `anneal up` ended without being told to. */
  workerProblem(): Promise<string | undefined>;
  /** Ends the attempts of this machine that a closed run left, and verifies that they are gone. */
  endAttemptsOf(runId: string): Promise<readonly string[]>;
  /** Ends the attempts of this machine after a checkpoint. Their runs stay open. */
  endAttempts(): Promise<readonly string[]>;
  workerLogEnd(): Promise<string>;
  /** The file that the worker's output is appended to. */
  workerLog(): Promise<string>;
}

/** What {@link openProject} takes. */
export interface OpenProjectOptions {
  readonly cwd: string;
  readonly env: { readonly [name: string]: string | undefined };
  /** anneal.yaml or its directory; default: searched from `cwd` upward. */
  readonly path?: string;
}

/** Opens a project: reads anneal.yaml, and nothing else yet. @throws AnnealError InvalidConfig. */
export async function openProject({ cwd, env, path }: OpenProjectOptions): Promise<Project> {
  const [{ loadConfig }, { projectPaths }] = await Promise.all([
    import('../config/load-config.js'),
    import('../config/project-paths.js'),
  ]);
  const config = await loadConfig({ cwd, env, ...(path === undefined ? {} : { path }) });
  const paths = projectPaths(config);
  const addresses = async () => await findAddresses(config, paths);
  const connection = createConnection({ config, paths, addresses, env });
  return {
    config,
    paths,
    addresses,
    ...connection,
    links: async () => {
      const { temporalUiUrl, trackingUri, namespace } = await addresses();
      return {
        namespace,
        ...(temporalUiUrl === undefined ? {} : { temporalUiUrl: withoutCredentials(temporalUiUrl) }),
        ...(trackingUri === undefined ? {} : { trackingUiUrl: withoutCredentials(trackingUri) }),
      };
    },
    build: async (onProgress) => {
      const { buildProject } = await import('../workers/build/build-project.js');
      return await buildProject({ config, onProgress });
    },
    watch: async (options) => await (await import('./watch-code.js')).watchCode({ config, paths }, options),
    currentBuild: async () => await findCurrentBuild(config, paths),
    stack: createStack({ config, paths, env, addresses, temporal: connection.temporal }),
  };
}

async function findAddresses(config: ProjectConfig, paths: ProjectPaths): Promise<ServiceAddresses> {
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

interface ConnectionParts {
  readonly config: ProjectConfig;
  readonly paths: ProjectPaths;
  readonly addresses: () => Promise<ServiceAddresses>;
  readonly env: NodeJS.ProcessEnv;
}

/** One connection for the whole command, made when it is first needed. */
function createConnection(
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
      const [{ createAnnealClient }, { openStore }, { createReadCode }] = await Promise.all([
        import('../client/index.js'),
        import('../workers/open-store.js'),
        import('../workers/read-code.js'),
      ]);
      const { attemptsDir, buildsDir } = paths;
      const { client } = await temporal();
      const models = await createModelIndex(parts);
      return createAnnealClient({
        temporal: client,
        project: config.project,
        store: openStore(paths),
        attemptsDir,
        readCode: createReadCode(buildsDir),
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

async function findCurrentBuild(config: ProjectConfig, paths: ProjectPaths): Promise<Build> {
  if (config.builds === 'store')
    return await (await import('./stored-build.js')).fetchCurrentBuild(config, paths);
  const [{ loadBuild }, { readCurrent }] = await Promise.all([
    import('../workers/build/load-build.js'),
    import('../workers/current-build.js'),
  ]);
  const current = await readCurrent(paths.buildsDir);
  if (current !== undefined) return await loadBuild(paths.buildsDir, current);
  const { buildProject } = await import('../workers/build/build-project.js');
  return await buildProject({ config });
}

/** Time that steps have for a checkpoint when the machine's part of a project is shut down. */
const STOP_GRACE_MS = 30_000;

function createStack({
  config,
  paths,
  env,
  addresses,
  temporal,
}: ConnectionParts & Pick<OpenProjectOptions, 'env'> & Pick<Project, 'temporal'>): LocalStack {
  const { stateDir } = paths;
  return {
    running: async () => {
      const [{ readLocalState }, { readWorkerProcess }] = await Promise.all([
        import('../local/local-servers.js'),
        import('../local/worker-process.js'),
      ]);
      const state = await readLocalState(stateDir);
      return {
        servers: Object.values(state).some((server) => server.running),
        worker: (await readWorkerProcess(stateDir)) !== undefined,
      };
    },
    startServers: async (options) => {
      const { startLocalServers } = await import('../local/local-servers.js');
      return await startLocalServers({ stateDir, env: withConfigured(config, env), ...options });
    },
    inTurn: async (work) => await (await import('../local/worker-process.js')).inTurn(stateDir, work),
    stopServers: async () => await (await import('../local/local-servers.js')).stopLocalServers({ stateDir }),
    deadServers: async () => await (await import('../local/local-servers.js')).readDeadServers(stateDir),
    makeCurrent: async (build) =>
      await (await import('../workers/current-build.js')).makeCurrent(paths.buildsDir, build),
    readCurrent: async () => await (await import('../workers/current-build.js')).readCurrent(paths.buildsDir),
    isRamping: async () => {
      const { readRouting } = await import('../workers/current-build.js');
      return (await readRouting(paths.buildsDir))?.ramp !== undefined;
    },
    ...createWorkerPart({ config, paths, env, addresses }),
    endAttemptsOf: async (runId) => {
      const { endOrphans } = await import('../workers/end-orphans.js');
      return await endOrphans({ client: (await temporal()).client, paths, runId });
    },
    endAttempts: async () => {
      const { endLocalAttempts } = await import('../workers/end-local-attempts.js');
      return await endLocalAttempts(paths, { graceMs: STOP_GRACE_MS });
    },
  };
}

type WorkerPart =
  'worker' | 'ensureWorker' | 'workerReady' | 'stopWorker' | 'workerProblem' | 'workerLog' | 'workerLogEnd';

function createWorkerPart({
  config,
  paths: { stateDir },
  env,
  addresses,
}: ConnectionParts & Pick<OpenProjectOptions, 'env'>): Pick<LocalStack, WorkerPart> {
  return {
    worker: async () => {
      const { readReadyWorkers, readWorkerProcess } = await import('../local/worker-process.js');
      const [other] = await readReadyWorkers(stateDir);
      return (await readWorkerProcess(stateDir)) ?? (other && { process: other });
    },
    ensureWorker: async (options = {}) => {
      const { ensureWorkerProcess } = await import('../local/worker-process.js');
      const main = process.argv[1] ?? '';
      const args = [...process.execArgv, main, 'worker', '--project', config.file];
      const { workerSettings } = await import('./worker-settings.js');
      const settings = await workerSettings([config, await addresses()], env);
      const command = { file: process.execPath, args, env, cwd: config.root };
      return await ensureWorkerProcess({ stateDir, settings, command, ...options });
    },
    workerReady: async (options) =>
      await (await import('../local/worker-process.js')).waitForWorker(stateDir, options),
    stopWorker: async (only) =>
      await (await import('../local/worker-process.js')).stopWorkerProcess(stateDir, only),
    workerProblem: async () => {
      const { readDeadWorker } = await import('../local/worker-process.js');
      const { workerLogFile } = await import('../local/worker-log.js');
      const dead = await readDeadWorker(stateDir);
      return dead === undefined
        ? undefined
        : `The worker (process ${dead.process.pid}) has ended, so open runs wait; its log is ${workerLogFile(stateDir)}. Start it again with: anneal up`;
    },
    workerLog: async () => (await import('../local/worker-log.js')).workerLogFile(stateDir),
    workerLogEnd: async () => await (await import('../local/worker-log.js')).readWorkerLogEnd(stateDir),
  };
}

/** The environment for the local servers: what anneal.yaml sets counts like the variables. */
function withConfigured(
  { temporal, mlflow }: ProjectConfig,
  env: OpenProjectOptions['env'],
): NodeJS.ProcessEnv {
  return {
    ...env,
    ...(temporal.address === undefined
      ? {}
      : { TEMPORAL_ADDRESS: temporal.address, TEMPORAL_NAMESPACE: temporal.namespace }),
    ...(mlflow.uri === undefined ? {} : { MLFLOW_TRACKING_URI: mlflow.uri }),
  };
}
