import type { MlflowClient, ModelVersion } from 'mlflow-ts-client';
import { isMlflowError } from 'mlflow-ts-client';
import type { ModelRegistry, RegisteredVersion } from '../../activities/ports/model-registry.js';
import { createPatience, type PatienceOptions } from './patience.js';
import { registerOnce } from './register-once.js';

/** What the adapter is made of. */
export interface MlflowRegistryDeps extends PatienceOptions {
  readonly client: MlflowClient;
}

/** MLflow as {@link ModelRegistry}. A version is made from a LoggedModel that holds the artifact's files, byte for byte. */
export function createMlflowRegistry(deps: MlflowRegistryDeps): ModelRegistry {
  const { client } = deps;
  const patiently = createPatience(deps);
  return {
    register: async (registration, signal) =>
      toRegisteredVersion(await registerOnce({ client, patiently }, registration, signal)),
    findByAlias: ({ modelName, alias }, signal) =>
      patiently(signal, () =>
        orNull(client.registeredModels.findAlias({ name: modelName, alias }, { signal })),
      ),
    findVersion: ({ modelName, version }, signal) =>
      patiently(signal, () => orNull(client.modelVersions.get({ name: modelName, version }, { signal }))),
    setAlias: ({ modelName, alias, version }, signal) =>
      patiently(signal, () =>
        client.registeredModels.setAlias({ name: modelName, alias, version }, { signal }),
      ),
    setTags: async ({ modelName, version, tags }, signal) => {
      for (const [key, value] of Object.entries(tags)) {
        await patiently(signal, () =>
          client.modelVersions.setTag({ name: modelName, version, key, value }, { signal }),
        );
      }
    },
  };
}

async function orNull(looking: Promise<ModelVersion | undefined>): Promise<RegisteredVersion | null> {
  try {
    const found = await looking;
    return found === undefined ? null : toRegisteredVersion(found);
  } catch (error) {
    if (isMlflowError(error, 'RESOURCE_DOES_NOT_EXIST')) return null;
    throw error;
  }
}

function toRegisteredVersion({ version, modelId, tags }: ModelVersion): RegisteredVersion {
  return { version, tags, ...(modelId === undefined || modelId === '' ? {} : { modelId }) };
}
