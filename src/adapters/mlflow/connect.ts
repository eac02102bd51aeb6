import { createMlflowClient, isMlflowError, readMlflowEnvironment } from 'mlflow-ts-client';
import type { Clock } from '../../activities/ports/activity-context.js';
import type { ModelRegistry } from '../../activities/ports/model-registry.js';
import type { Tracking } from '../../activities/ports/tracking.js';
import type { ModelIndex } from '../../core/lineage.js';
import { createMlflowModelIndex } from './model-index.js';
import type { OpenArtifacts } from './model-place.js';
import type { PatienceOptions } from './patience.js';
import { createMlflowRegistry } from './registry.js';
import { createMlflowTracking } from './tracking.js';

/** The two faces of one MLflow server. */
export interface MlflowServices {
  readonly tracking: Tracking;
  readonly registry: ModelRegistry;
}

/** Connects to the MLflow server at an address, with the credentials and time limits of the standard `MLFLOW_*` variables. */
export function connectMlflow(
  options: PatienceOptions & {
    readonly trackingUri: string;
    readonly env: NodeJS.ProcessEnv;
    /** For servers whose artifacts are in S3 and do not pass through them. */
    readonly openArtifacts?: OpenArtifacts;
  },
): MlflowServices {
  const { trackingUri, env, openArtifacts, ...patience } = options;
  const client = createMlflowClient({ ...readMlflowEnvironment(env), trackingUri });
  return {
    tracking: createMlflowTracking({ client, ...patience }),
    registry: createMlflowRegistry({ client, openArtifacts, ...patience }),
  };
}

/** The registry as people ask it who want to know where a model comes from: they are not kept waiting for a server that is away. */
export function connectModelIndex(options: {
  readonly trackingUri: string;
  readonly env: NodeJS.ProcessEnv;
  readonly clock: Clock;
}): ModelIndex {
  const { trackingUri, env, clock } = options;
  const client = createMlflowClient({ ...readMlflowEnvironment(env), trackingUri });
  return createMlflowModelIndex({ client, clock, patienceMs: CHECK_TIMEOUT_MS });
}

/** What keeps an MLflow server from being used: the client's code, the HTTP status where there was an answer, one sentence. */
export interface MlflowProblem {
  readonly code: string;
  readonly status?: number;
  readonly message: string;
}

/**
 * Makes one real call with the credentials of the standard variables: `/health` answers also where the host check or the credentials
 * would refuse everything else. @returns undefined when the server can be used.
 */
export async function checkMlflow(options: {
  readonly trackingUri: string;
  readonly env: NodeJS.ProcessEnv;
}): Promise<MlflowProblem | undefined> {
  try {
    const client = createMlflowClient({
      ...readMlflowEnvironment(options.env),
      trackingUri: options.trackingUri,
      timeoutMs: CHECK_TIMEOUT_MS,
      retry: { attempts: 1 },
    });
    await client.experiments.findByName('Default');
    return undefined;
  } catch (error) {
    if (!isMlflowError(error)) throw error;
    const { code, message, status } = error;
    return { code, message, ...(status === undefined ? {} : { status }) };
  }
}

const CHECK_TIMEOUT_MS = 5_000;
