import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import type { ArtifactRef, FileEntry, Manifest } from '../core/artifacts.js';
import { treeDigest } from '../core/artifacts.js';
import type { ArtifactStore } from '../core/artifact-store.js';
import { storeKeys } from '../core/artifact-store.js';
import { AnnealError } from '../core/failures.js';
import { producerOf } from '../core/lineage.js';
import type { ModelFiles } from './ports/model-registry.js';

/** Where a model's files come from. */
export interface ModelFilesDeps {
  readonly store: ArtifactStore;
  /** Directory for one file at a time. */
  readonly scratchDir: string;
}

/**
 * The files of a Model artifact as its attempt's manifest lists them.
 * @throws AnnealError InputMissing where the manifest, or a file, is gone or is not what was recorded; InvalidInput for something that
 * is no model directory of an attempt.
 */
export async function loadModelFiles(deps: ModelFilesDeps, model: ArtifactRef<'Model'>): Promise<ModelFiles> {
  const { store } = deps;
  const key = store.keyOf(model.uri);
  const entries = await readEntries(store, key, model);
  return {
    entries,
    withFile: async (entry, use) => {
      const directory = await mkdtemp(join(deps.scratchDir, 'anneal-model-'));
      try {
        const local = join(directory, 'file');
        await store.fetchFile(`${key}/${entry.path}`, local);
        await verifyFile(local, entry, model);
        return await use(local);
      } finally {
        await rm(directory, { recursive: true, force: true });
      }
    },
  };
}

async function readEntries(
  store: ArtifactStore,
  key: string,
  model: ArtifactRef<'Model'>,
): Promise<readonly FileEntry[]> {
  const { manifestKey, output } = locateManifest(key, model);
  const bytes = await store.readBytes(manifestKey);
  if (bytes === undefined) throw missing(model, `the manifest ${manifestKey} is not in the store`);
  const { outputs } = JSON.parse(Buffer.from(bytes).toString('utf8')) as Manifest;
  const files = outputs[output]?.files;
  if (files === undefined) throw missing(model, `its manifest knows no output "${output}"`);
  const digest = treeDigest(files);
  if (digest !== model.digest)
    throw missing(model, `its manifest lists files of digest ${digest} instead of ${model.digest}`);
  if (!files.some(({ path }) => path === 'MLmodel')) {
    throw new AnnealError(
      'InvalidInput',
      `${model.uri} has no file MLmodel, so it is no model that MLflow can load. Write it with save_model of an MLflow flavor.`,
    );
  }
  return files;
}

function locateManifest(key: string, model: ArtifactRef<'Model'>): { manifestKey: string; output: string } {
  const producer = producerOf(`/${key}`);
  if (producer === undefined || model.form !== 'directory') {
    throw new AnnealError(
      'InvalidInput',
      `${model.uri} is not a model directory that a step wrote. Register a directory output of kind Model.`,
    );
  }
  const { executionId, attemptName, output } = producer;
  return { manifestKey: storeKeys.manifest(executionId, attemptName), output };
}

async function verifyFile(
  path: string,
  { path: name, sha256 }: FileEntry,
  model: ArtifactRef<'Model'>,
): Promise<void> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash);
  const found = hash.digest('hex');
  if (found !== sha256) throw missing(model, `its file ${name} has sha256 ${found} instead of ${sha256}`);
}

function missing(model: ArtifactRef<'Model'>, why: string): AnnealError {
  return new AnnealError(
    'InputMissing',
    `The model ${model.uri} cannot be registered: ${why}. Run the step that made it again.`,
  );
}
