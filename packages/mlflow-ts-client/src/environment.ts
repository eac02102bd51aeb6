import { CLIENT_ERROR_CODES, MlflowError } from './errors.js';
import type { RetryOptions } from './retry.js';
import type { MlflowAuth } from './transport.js';

/** What MLflow's standard variables say; pass it on to `createMlflowClient` together with a tracking URI. */
export interface MlflowEnvironment {
  readonly trackingUri?: string;
  readonly auth?: MlflowAuth;
  readonly timeoutMs?: number;
  readonly retry?: RetryOptions;
  readonly workspace?: string;
}

/**
 * Reads `MLFLOW_TRACKING_URI`, `MLFLOW_TRACKING_USERNAME` with `MLFLOW_TRACKING_PASSWORD` (they beat the token, as in
 * Python), `MLFLOW_TRACKING_TOKEN`, `MLFLOW_HTTP_REQUEST_TIMEOUT` (seconds), `MLFLOW_HTTP_REQUEST_MAX_RETRIES` and
 * `MLFLOW_WORKSPACE`. Empty variables count as absent. Throws INVALID_CONFIGURATION, also for
 * `MLFLOW_TRACKING_INSECURE_TLS=true`, which Node's fetch cannot honour.
 */
export function readMlflowEnvironment(env: Readonly<Record<string, string | undefined>>): MlflowEnvironment {
  const read = (name: string): string | undefined => (env[name]?.trim() ? env[name].trim() : undefined);
  if (/^(true|1)$/i.test(read('MLFLOW_TRACKING_INSECURE_TLS') ?? '')) {
    throw configurationError(
      'MLFLOW_TRACKING_INSECURE_TLS is set, but this client always checks certificates. Name the authority in NODE_EXTRA_CA_CERTS.',
    );
  }
  const trackingUri = read('MLFLOW_TRACKING_URI');
  const auth = readAuth(read);
  const timeoutS = readNumber(read, 'MLFLOW_HTTP_REQUEST_TIMEOUT', 0.001);
  const retries = readNumber(read, 'MLFLOW_HTTP_REQUEST_MAX_RETRIES', 0);
  const workspace = read('MLFLOW_WORKSPACE');
  return {
    ...(trackingUri === undefined ? {} : { trackingUri }),
    ...(auth === undefined ? {} : { auth }),
    ...(timeoutS === undefined ? {} : { timeoutMs: timeoutS * 1000 }),
    ...(retries === undefined ? {} : { retry: { attempts: Math.floor(retries) + 1 } }),
    ...(workspace === undefined ? {} : { workspace }),
  };
}

/** An error about an option or a variable. */
export function configurationError(message: string): MlflowError {
  return new MlflowError({ code: CLIENT_ERROR_CODES.INVALID_CONFIGURATION, message });
}

type ReadVariable = (name: string) => string | undefined;

function readAuth(read: ReadVariable): MlflowAuth | undefined {
  const username = read('MLFLOW_TRACKING_USERNAME');
  const password = read('MLFLOW_TRACKING_PASSWORD');
  if (username !== undefined && password !== undefined) return { username, password };
  const token = read('MLFLOW_TRACKING_TOKEN');
  return token === undefined ? undefined : { token };
}

function readNumber(read: ReadVariable, name: string, minimum: number): number | undefined {
  const text = read(name);
  if (text === undefined) return undefined;
  const value = Number(text);
  if (Number.isFinite(value) && value >= minimum) return value;
  throw configurationError(
    `${name} is "${text}", but must be a number of at least ${minimum}. Correct or unset it.`,
  );
}
