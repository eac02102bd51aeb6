import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { attributeFilter, tagFilter, type ModelVersion } from 'mlflow-ts-client';
import type { ModelRegistration } from '../../activities/ports/model-registry.js';
import type { FileEntry } from '../../core/artifacts.js';
import { REGISTRATION_KEY_TAG } from '../../core/registry.js';
import { openModelPlace, type ModelPlace, type ModelPlaceDeps } from './model-place.js';
import { directoriesOf } from './model-upload.js';

/** Versions that the command of a step registered by itself, such as with `log_model(registered_model_name=...)`. */
export interface NativeVersions {
  /** Has exactly the artifact's bytes. */
  readonly same?: ModelVersion;
  /** Have others. */
  readonly others: readonly ModelVersion[];
}

/** MLflow adds it to a model that is registered. */
const ADDED = 'registered_model_meta';
/** Tag of a version that was left alone. */
const LEFT_TAG = 'anneal.native';

/**
 * Finds what the attempt's command registered under the model's name: versions without a key whose run carries the attempt's name, which
 * every run that the command starts does, in the experiment of the pipeline.
 */
export async function findNativeVersions(
  deps: ModelPlaceDeps,
  registration: ModelRegistration,
  signal: AbortSignal,
): Promise<NativeVersions> {
  const versions = await listNativeVersions(deps, registration, signal);
  const others: ModelVersion[] = [];
  for (const version of versions) {
    const place = await placeOf(deps, version, signal);
    if (place !== undefined && (await hasBytes(place, registration.files.entries, signal)))
      return { same: version, others };
    others.push(version);
  }
  return { others };
}

/** Makes a native version the one of this registration. The key goes last: with it everything is said to be done. */
export async function adoptVersion(
  { client, patiently }: ModelPlaceDeps,
  { name, version, description: own = '' }: ModelVersion,
  { registration, signal }: { readonly registration: ModelRegistration; readonly signal: AbortSignal },
): Promise<void> {
  const { key, tags, description } = registration;
  if (description !== undefined && own === '')
    await patiently(signal, () => client.modelVersions.update({ name, version, description }, { signal }));
  const all = { ...tags, [LEFT_TAG]: 'adopted', [REGISTRATION_KEY_TAG]: key };
  for (const [tag, value] of Object.entries(all))
    await patiently(signal, () =>
      client.modelVersions.setTag({ name, version, key: tag, value }, { signal }),
    );
}

/** Says on native versions why they are not the ones of the pipeline. @returns a sentence for people. */
export async function reportNativeVersions(
  { client, patiently }: ModelPlaceDeps,
  versions: readonly ModelVersion[],
  { kept, signal }: { readonly kept: ModelVersion; readonly signal: AbortSignal },
): Promise<string | undefined> {
  if (versions.length === 0) return undefined;
  for (const { name, version } of versions) {
    const value = `registered by the step's own command with other bytes than its Model output, which is version ${kept.version}`;
    await patiently(signal, () =>
      client.modelVersions.setTag({ name, version, key: LEFT_TAG, value }, { signal }),
    );
  }
  const which = versions.map(({ version }) => version).join(', ');
  return `version ${which}, registered by the step's own command, has other bytes and is not promoted`;
}

async function listNativeVersions(
  { client, patiently }: ModelPlaceDeps,
  { modelName, source, attemptName }: ModelRegistration,
  signal: AbortSignal,
): Promise<ModelVersion[]> {
  if (source === undefined || attemptName === undefined) return [];
  return await patiently(signal, async () => {
    const filter = tagFilter('anneal.attempt_name', attemptName);
    const found: ModelVersion[] = [];
    const experimentIds = [source.experimentId];
    for await (const run of client.runs.searchAll({ experimentIds, filter }, { signal })) {
      const ofRun = attributeFilter('run_id', run.info.runId);
      for await (const version of client.modelVersions.searchAll({ filter: ofRun }, { signal }))
        if (version.name === modelName && version.tags[REGISTRATION_KEY_TAG] === undefined)
          found.push(version);
    }
    return found.sort((a, b) => Number(a.version) - Number(b.version));
  });
}

/** Undefined where its files are out of reach: such a version is not adopted. */
async function placeOf(
  deps: ModelPlaceDeps,
  { modelId, source = '' }: ModelVersion,
  signal: AbortSignal,
): Promise<ModelPlace | undefined> {
  const { client, patiently } = deps;
  try {
    if (modelId === undefined || modelId === '') return openModelPlace(deps, source);
    const { info } = await patiently(signal, () => client.loggedModels.get(modelId, { signal }));
    return openModelPlace(deps, info.artifactUri);
  } catch {
    signal.throwIfAborted();
    return undefined;
  }
}

/** Sizes first, since most differ in them; only then are bytes read, one file at a time. */
async function hasBytes(
  place: ModelPlace,
  entries: readonly FileEntry[],
  signal: AbortSignal,
): Promise<boolean> {
  const there = new Map(await place.list(directoriesOf(entries), signal));
  there.delete(ADDED);
  const sizesAgree = entries.every(({ path, sizeBytes }) => there.get(path) === sizeBytes);
  if (!sizesAgree || there.size !== entries.length) return false;
  const directory = await mkdtemp(join(tmpdir(), 'anneal-native-'));
  try {
    for (const { path, sha256 } of entries) {
      const file = join(directory, 'file');
      await place.fetch(path, file, signal);
      const hash = createHash('sha256');
      await pipeline(createReadStream(file), hash);
      await rm(file);
      if (hash.digest('hex') !== sha256) return false;
    }
    return true;
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}
