import type { Command, CommandContext } from '../command.js';
import { AnnealError } from '../../core/failures.js';
import type { Project } from '../context.js';
import { EXIT } from '../report-error.js';

/** `anneal worker`: runs the project's workers in this process until SIGTERM or Ctrl-C; what they watch goes on without them. */
export const worker: Command = async (context, _args, { pools }) => {
  const project = await context.openProject();
  const { config, paths } = project;
  const { temporalAddress, temporalUiUrl, trackingUri, namespace } = await project.addresses();
  if (temporalAddress === undefined) throw noServer();
  const [
    { chooseParts, runProjectWorkers },
    { installTemporalLogger },
    { loadTemporalEndpoint },
    { announceWorkerReady },
    { keepWorkerLogSmall },
    createWorkerLogger,
  ] = await Promise.all([
    import('../../workers/project-workers.js'),
    import('../../workers/temporal-logger.js'),
    import('../../workers/temporal-endpoint.js'),
    import('../../local/worker-process.js'),
    import('../../local/worker-log.js'),
    loadLogger(),
  ]);
  const named = pools === undefined ? {} : { pools: readPools(pools) };
  const metricsAddress = readAddress(context.env, 'ANNEAL_METRICS_ADDRESS', 'metrics are offered');
  const healthAddress = readAddress(context.env, 'ANNEAL_HEALTH_ADDRESS', 'its health is offered');
  chooseParts({ config, ...named });
  const health = await offerHealth(healthAddress);
  const logger = createWorkerLogger(context, config.project);
  const { client } = await project.temporal();
  await ensureCurrentBuild(project, logger);
  // Last: from here on the SDK keeps the program alive, and holds its signals, until a connection of a worker has come and gone.
  installTemporalLogger(forwardTo(logger), metricsAddress);
  const stopKeeping = keepWorkerLogSmall(paths.stateDir);
  const work = context.interruptible(async (signal) => {
    await runProjectWorkers({
      config,
      client,
      namespace,
      signal,
      connection: loadTemporalEndpoint({
        address: temporalAddress,
        external: config.temporal.address !== undefined,
      }),
      services: {
        ...(temporalUiUrl === undefined ? {} : { temporalUiUrl }),
        ...(trackingUri === undefined ? {} : { trackingUri }),
      },
      env: { ...context.env },
      log: (message) => logger.info(message),
      onReady: (build) => {
        logger.info({ build }, 'takes work');
        announceWorkerReady(paths.stateDir, build).catch((error: unknown) =>
          logger.error({ err: error }, 'could not say that it is ready'),
        );
      },
      onServing: () => health?.ready(),
      ...named,
    });
    logger.info('stopped');
  });
  await work.finally(stopKeeping).finally(async () => await health?.close());
  return EXIT.ok;
};

async function offerHealth(address: string | undefined) {
  if (address === undefined) return undefined;
  const { serveHealth } = await import('../../telemetry/serve-health.js');
  const [, host = '', port = ''] = /^(.+):(\d+)$/.exec(address) ?? [];
  return await serveHealth({ host: host.replace(/^\[|\]$/g, ''), port: Number(port) });
}

interface Logger {
  error(about: object, said: string): void;
  warn(about: object, said: string): void;
}

/** What the SDK says, in the worker's log. */
function forwardTo(logger: Logger) {
  return (level: string, said: string, about: object) =>
    logger[level === 'ERROR' ? 'error' : 'warn'](about, said);
}

/** @throws AnnealError InvalidConfig. */
function readAddress(env: CommandContext['env'], name: string, what: string): string | undefined {
  const address = env[name];
  if (!address) return undefined;
  if (/^(\[[0-9a-fA-F:]+\]|[0-9.]+):\d{1,5}$/.test(address)) return address;
  throw new AnnealError(
    'InvalidConfig',
    `${name} is "${address}"; it is the address where ${what}, an IP and a port such as 0.0.0.0:9464.`,
  );
}

function noServer(): AnnealError {
  return new AnnealError(
    'ServerUnreachable',
    'There is no Temporal server to work for. Start one with "anneal up", or set TEMPORAL_ADDRESS.',
  );
}

function readPools(option: string): string[] {
  return option
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '');
}

/** On a fresh machine nothing is current: a worker would wait without a word. */
async function ensureCurrentBuild(
  { config, stack, build }: Project,
  logger: { info(message: string): void; warn(message: string): void },
): Promise<void> {
  if (config.builds === 'store') {
    logger.info('takes builds from the store, where "anneal deploy" puts them');
    return;
  }
  if ((await stack.readCurrent()) !== undefined) return;
  const { digest, warnings } = await build((line) => logger.info(line));
  for (const warning of warnings) logger.warn(warning);
  await stack.makeCurrent(digest);
}

async function loadLogger() {
  const { createLogger } = await import('../../telemetry/create-logger.js');
  return ({ terminal, env }: CommandContext, project: string) =>
    createLogger({
      destination: process.stdout,
      pretty: terminal.interactive,
      level: env['LOG_LEVEL'] ?? 'info',
      fields: { project },
    });
}
