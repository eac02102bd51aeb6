import type { MlflowClient, ModelVersion } from 'mlflow-ts-client';
import { isMlflowError } from 'mlflow-ts-client';
import type {
  ModelRegistry,
  RegisteredName,
  RegisteredVersion,
} from '../../activities/ports/model-registry.js';
import type { OpenArtifacts } from './model-place.js';
import { createPatience, type Patience, type PatienceOptions } from './patience.js';
import { registerOnce } from './register-once.js';

/** What the adapter is made of. */
export interface MlflowRegistryDeps extends PatienceOptions {
  readonly client: MlflowClient;
  /** For servers whose artifacts are in S3 and do not pass through them. */
  readonly openArtifacts?: OpenArtifacts | undefined;
}

/** MLflow as {@link ModelRegistry}. A version is made from a LoggedModel that holds the artifact's files, byte for byte. */
export function createMlflowRegistry(deps: MlflowRegistryDeps): ModelRegistry {
  const { client, openArtifacts } = deps;
  const patiently = createPatience(deps);
  const registering = { client, patiently, openArtifacts };
  return {
    register: async (registration, signal) => {
      const { version, notice } = await registerOnce(registering, registration, signal);
      return { ...toRegisteredVersion(version), ...(notice === undefined ? {} : { notice }) };
    },
    findByAlias: ({ modelName, alias }, signal) =>
      patiently(signal, () =>
        orNull(client.registeredModels.findAlias({ name: modelName, alias }, { signal })),
      ),
    findVersion: ({ modelName, version }, signal) =>
      patiently(signal, () => orNull(client.modelVersions.get({ name: modelName, version }, { signal }))),
    readModel: (modelName, signal) => patiently(signal, () => readModel(client, modelName, signal)),
    setAlias: (alias, signal) => setAlias({ client, patiently }, alias, signal),
    setModelTags: async ({ modelName: name, tags }, signal) => {
      for (const [key, value] of Object.entries(tags)) {
        await patiently(signal, () =>
          value === null
            ? client.registeredModels.deleteTag({ name, key }, { signal })
            : client.registeredModels.setTag({ name, key, value }, { signal }),
        );
      }
    },
    setTags: async ({ modelName, version, tags }, signal) => {
      for (const [key, value] of Object.entries(tags)) {
        await patiently(signal, () =>
          client.modelVersions.setTag({ name: modelName, version, key, value }, { signal }),
        );
      }
    },
  };
}

async function readModel(
  client: MlflowClient,
  name: string,
  signal: AbortSignal,
): Promise<RegisteredName | null> {
  try {
    const { aliases, tags } = await client.registeredModels.get(name, { signal });
    return { aliases: Object.fromEntries(aliases.map(({ alias, version }) => [alias, version])), tags };
  } catch (error) {
    if (isMlflowError(error, 'RESOURCE_DOES_NOT_EXIST')) return null;
    throw error;
  }
}

/** Every try is one request, so that one whose answer got lost is known. */
async function setAlias(
  { client, patiently }: { readonly client: MlflowClient; readonly patiently: Patience },
  { modelName: name, alias, version }: Parameters<ModelRegistry['setAlias']>[0],
  signal: AbortSignal,
): Promise<{ doubtful: boolean }> {
  let doubtful = false;
  await patiently(signal, async () => {
    try {
      const once = { signal, once: true };
      if (version === null) await client.registeredModels.deleteAlias({ name, alias }, once);
      else await client.registeredModels.setAlias({ name, alias, version }, once);
    } catch (error) {
      // What a delete finds gone after a lost answer is what was wanted.
      if (version === null && isMlflowError(error, 'RESOURCE_DOES_NOT_EXIST')) return;
      doubtful ||= isMlflowError(error) && error.doubt;
      throw error;
    }
  });
  return { doubtful };
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
