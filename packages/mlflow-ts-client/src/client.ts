import { createApi } from './api.js';
import { createArtifacts, type Artifacts } from './artifacts.js';
import { configurationError } from './environment.js';
import { createExperiments, type Experiments } from './experiments.js';
import { createLoggedModels, type LoggedModels } from './logged-models.js';
import { createMetrics, type Metrics } from './metrics.js';
import { createModelVersions, type ModelVersions } from './model-versions.js';
import { createRegisteredModels, type RegisteredModels } from './registered-models.js';
import { resolveRetryPolicy, sleepFor, type RetryOptions, type Sleep } from './retry.js';
import { createRuns, type Runs } from './runs.js';
import { createServerCalls, type ServerCalls } from './server.js';
import { createTransport, type MlflowAuth } from './transport.js';

/** Options of {@link createMlflowClient}. */
export interface MlflowClientOptions {
  /** `http(s)://host[:port][/prefix]`; credentials in it are used as Basic and kept out of every message. */
  readonly trackingUri: string;
  readonly auth?: MlflowAuth | undefined;
  /** Limit on silence per try, in milliseconds; transfers that move are not cut off. Default 30 000. */
  readonly timeoutMs?: number | undefined;
  readonly retry?: RetryOptions | undefined;
  /** Default: Node's own. */
  readonly fetch?: typeof globalThis.fetch | undefined;
  /** Waits between tries; for tests. */
  readonly sleep?: Sleep | undefined;
  /** Uniform in [0, 1), for jitter; for tests. */
  readonly random?: (() => number) | undefined;
  /** Sent as `X-MLFLOW-WORKSPACE`. */
  readonly workspace?: string | undefined;
  /** Default `mlflow-ts-client`. */
  readonly userAgent?: string | undefined;
  /** Hosts (`host[:port]`) that may see the credentials besides the tracking server, e.g. of a separate artifact server. */
  readonly trustedArtifactHosts?: readonly string[] | undefined;
}

/** MLflow's REST API, by resource. It keeps no connection of its own and needs no closing. */
export interface MlflowClient extends ServerCalls {
  /** The tracking server without credentials and closing slash. */
  readonly server: string;
  readonly experiments: Experiments;
  readonly runs: Runs;
  readonly metrics: Metrics;
  readonly artifacts: Artifacts;
  readonly loggedModels: LoggedModels;
  readonly registeredModels: RegisteredModels;
  readonly modelVersions: ModelVersions;
}

/** Makes a client; nothing is sent yet. Throws INVALID_CONFIGURATION for an address or limit that cannot work. */
export function createMlflowClient(options: MlflowClientOptions): MlflowClient {
  const { server, auth } = readTrackingUri(options.trackingUri);
  const timeoutMs = options.timeoutMs ?? 30_000;
  if (!(timeoutMs > 0))
    throw configurationError(`timeoutMs is ${timeoutMs}, but must be more than 0 milliseconds.`);
  const policy = resolveRetryPolicy(options.retry);
  if (!(policy.attempts >= 1))
    throw configurationError(
      `retry.attempts is ${policy.attempts}, but the first try counts: set 1 to switch retries off.`,
    );
  const transport = createTransport({
    server,
    auth: options.auth ?? auth,
    trustedHosts: new Set([new URL(server).host, ...(options.trustedArtifactHosts ?? [])]),
    headers: {
      'user-agent': options.userAgent ?? 'mlflow-ts-client',
      ...(options.workspace === undefined ? {} : { 'x-mlflow-workspace': options.workspace }),
    },
    timeoutMs,
    policy,
    fetch: options.fetch ?? globalThis.fetch,
    sleep: options.sleep ?? sleepFor,
    random: options.random ?? Math.random,
    nowMs: Date.now,
  });
  const api = createApi(transport);
  return {
    server,
    ...createServerCalls(transport),
    experiments: createExperiments(api),
    runs: createRuns(api),
    metrics: createMetrics(api),
    artifacts: createArtifacts(transport, api),
    loggedModels: createLoggedModels(api),
    registeredModels: createRegisteredModels(api),
    modelVersions: createModelVersions(api),
  };
}

function readTrackingUri(trackingUri: string): { server: string; auth: MlflowAuth | undefined } {
  const url = URL.canParse(trackingUri) ? new URL(trackingUri) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol)) {
    const shown = trackingUri.replace(/\/\/[^/@]*@/, '//');
    throw configurationError(
      `The tracking URI "${shown}" is not the address of a server (expected http://host:port or https://host).`,
    );
  }
  const { username, password } = url;
  const auth =
    username === ''
      ? undefined
      : { username: decodeURIComponent(username), password: decodeURIComponent(password) };
  return { server: `${url.protocol}//${url.host}${url.pathname.replace(/\/+$/, '')}`, auth };
}
