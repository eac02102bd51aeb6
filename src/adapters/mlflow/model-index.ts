import type { MlflowClient, ModelVersion } from 'mlflow-ts-client';
import { isMlflowError, tagFilter } from 'mlflow-ts-client';
import type { IndexedVersion, ModelIndex } from '../../core/lineage.js';
import { TAGS } from '../../core/registry.js';
import { createPatience, type PatienceOptions } from './patience.js';

/** What the adapter is made of. */
export interface MlflowModelIndexDeps extends PatienceOptions {
  readonly client: MlflowClient;
}

/** Somebody waits at a terminal. */
const ANSWER_MS = 30_000;

/** MLflow's registry as {@link ModelIndex}. */
export function createMlflowModelIndex(deps: MlflowModelIndexDeps): ModelIndex {
  const { client } = deps;
  const patiently = createPatience(deps);
  const ask = async <T>(work: (signal: AbortSignal) => Promise<T>) => {
    const signal = AbortSignal.timeout(ANSWER_MS);
    return await patiently(signal, () => work(signal));
  };
  return {
    find: async (of) => await ask((signal) => findOne(client, of, signal)),
    findByDigest: async (of) => await ask((signal) => findByDigest(client, of, signal)),
  };
}

async function findOne(
  client: MlflowClient,
  of: Parameters<ModelIndex['find']>[0],
  signal: AbortSignal,
): Promise<IndexedVersion | null> {
  const name = of.modelName;
  try {
    const found =
      'alias' in of
        ? await client.registeredModels.findAlias({ name, alias: of.alias }, { signal })
        : await client.modelVersions.get({ name, version: of.version }, { signal });
    return found === undefined ? null : toIndexed(found, await aliasesOf(client, name, signal));
  } catch (error) {
    if (isMlflowError(error, 'RESOURCE_DOES_NOT_EXIST')) return null;
    throw error;
  }
}

async function findByDigest(
  client: MlflowClient,
  { digest, limit }: Parameters<ModelIndex['findByDigest']>[0],
  signal: AbortSignal,
): Promise<IndexedVersion[]> {
  const found: ModelVersion[] = [];
  const filter = tagFilter(TAGS.digest, digest);
  for await (const version of client.modelVersions.searchAll({ filter }, { signal })) {
    found.push(version);
    if (found.length >= limit) break;
  }
  const names = [...new Set(found.map(({ name }) => name))];
  const aliases = new Map<string, Aliases>();
  for (const name of names) aliases.set(name, await aliasesOf(client, name, signal));
  return found.map((version) => toIndexed(version, aliases.get(version.name) ?? []));
}

type Aliases = readonly { readonly alias: string; readonly version: string }[];

/** Searches for versions may answer without their aliases. */
async function aliasesOf(client: MlflowClient, name: string, signal: AbortSignal): Promise<Aliases> {
  return (await client.registeredModels.get(name, { signal })).aliases;
}

function toIndexed({ name, version, tags }: ModelVersion, aliases: Aliases): IndexedVersion {
  const digest = tags[TAGS.digest];
  return {
    modelName: name,
    version,
    aliases: aliases.filter((entry) => entry.version === version).map(({ alias }) => alias),
    tags,
    ...(digest === undefined ? {} : { digest }),
  };
}
