import type { ProjectConfig } from '../config/project-config.js';
import type { ConnectionParts } from './connect-services.js';
import type { LocalStack, Project } from './context.js';

/** Time that steps have for a checkpoint when the machine's part of a project is shut down. */
const STOP_GRACE_MS = 30_000;

/** The local part of a project; what it needs is loaded when it is first asked for. */
export function createLocalStack({
  config,
  paths,
  env,
  addresses,
  temporal,
}: ConnectionParts & Pick<Project, 'temporal'>): LocalStack {
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
}: ConnectionParts): Pick<LocalStack, WorkerPart> {
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
function withConfigured({ temporal, mlflow }: ProjectConfig, env: ConnectionParts['env']): NodeJS.ProcessEnv {
  return {
    ...env,
    ...(temporal.address === undefined
      ? {}
      : { TEMPORAL_ADDRESS: temporal.address, TEMPORAL_NAMESPACE: temporal.namespace }),
    ...(mlflow.uri === undefined ? {} : { MLFLOW_TRACKING_URI: mlflow.uri }),
  };
}
