import type { InstallDeps } from '../adapters/pinned-tool.js';
import { isAnswered } from './free-port.js';
import type { ServerDefinition, ServerPorts } from './server-process.js';

/** The search attributes of decision 15, for the development server and for operators of others. */
export const SEARCH_ATTRIBUTES = { AnnealStatus: 'Keyword', AnnealTags: 'KeywordList' } as const;

/** The namespace of the development server. */
export const LOCAL_NAMESPACE = 'default';

/** What the definition of the development server depends on. */
export interface TemporalServerOptions {
  readonly cli: string;
  /** Where the database file is. */
  readonly directory: string;
  readonly defaultPorts: Required<ServerPorts>;
}

/** Temporal's development server with its Web UI, a database file and the settings that make it fast. */
export function defineTemporalServer(
  options: TemporalServerOptions,
  { run, env }: InstallDeps,
): ServerDefinition {
  const { cli, directory, defaultPorts } = options;
  const ownEnv = withoutTemporalSettings(env);
  return {
    name: 'temporal',
    label: 'Temporal',
    defaultPorts,
    healthTimeoutMs: 60_000,
    prepare: async (ports) => ({ file: cli, args: buildServerArgs(ports), env: ownEnv, cwd: directory }),
    isHealthy: async ({ port }) => {
      if (!(await isAnswered('127.0.0.1', port))) return false;
      // Succeeds once the server is serving, and raises the retention from 24 hours, which a weekend outlasts.
      const update = [
        'operator',
        'namespace',
        'update',
        '--namespace',
        LOCAL_NAMESPACE,
        '--retention',
        RETENTION,
      ];
      const target = [
        '--address',
        `127.0.0.1:${port}`,
        '--disable-config-env',
        '--disable-config-file',
        '--command-timeout',
        '10s',
      ];
      return (
        (await run({ file: cli, args: [...update, ...target], env: ownEnv, timeoutMs: 15_000 })).code === 0
      );
    },
  };
}

const RETENTION = '720h';

function buildServerArgs({ port, uiPort }: ServerPorts): string[] {
  const network = [
    '--ip',
    '127.0.0.1',
    '--port',
    String(port),
    '--ui-ip',
    '127.0.0.1',
    '--ui-port',
    String(uiPort),
    '--ui-disable-news-fetch',
  ];
  // Without the write-ahead log a step costs 47 ms instead of 11. NORMAL loses nothing when a process is killed.
  const database = [
    '--db-filename',
    'temporal.db',
    '--sqlite-pragma',
    'journal_mode=WAL',
    '--sqlite-pragma',
    'synchronous=NORMAL',
  ];
  // The stock limit of 20 polls a second per shard costs 50 ms at each hand-over of a task.
  const tuning = ['--dynamic-config-value', 'history.transferProcessorMaxPollRPS=1000'];
  const attributes = Object.entries(SEARCH_ATTRIBUTES).flatMap(([name, type]) => [
    '--search-attribute',
    `${name}=${type}`,
  ]);
  return ['server', 'start-dev', ...network, ...database, ...tuning, ...attributes, '--log-level', 'warn'];
}

/** Settings for another cluster (a namespace, TLS, an API key) must not reach the CLI when it talks to our own server. */
function withoutTemporalSettings(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !name.startsWith('TEMPORAL_')));
}
