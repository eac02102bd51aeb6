import { createMlflowClient, readMlflowEnvironment } from 'mlflow-ts-client';
import type { ModelRegistry } from '../../activities/ports/model-registry.js';
import type { Tracking } from '../../activities/ports/tracking.js';
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
  options: PatienceOptions & { readonly trackingUri: string; readonly env: NodeJS.ProcessEnv },
): MlflowServices {
  const { trackingUri, env, ...patience } = options;
  const client = createMlflowClient({ ...readMlflowEnvironment(env), trackingUri });
  return {
    tracking: createMlflowTracking({ client, ...patience }),
    registry: createMlflowRegistry({ client, ...patience }),
  };
}
