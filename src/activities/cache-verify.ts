import { createHash } from 'node:crypto';
import type { ArtifactStore } from '../core/artifact-store.js';
import type { ArtifactRef, FileEntry, Manifest } from '../core/artifacts.js';
import { AnnealError } from '../core/failures.js';

/** How closely the files behind a result are looked at: `size` asks the store for each, `full` reads them. */
export type VerifyDepth = 'size' | 'full';

/**
 * Looks at every file behind a result. Answers with what is wrong with the first that is not as it was stored.
 * @throws AnnealError StoreUnavailable
 */
export async function verifyOutputs(
  store: ArtifactStore,
  outputs: { readonly [name: string]: ArtifactRef },
  depth: VerifyDepth,
): Promise<string | undefined> {
  const verdicts = await Promise.all(
    Object.values(outputs).map(async (ref) => {
      try {
        return await verifyOutput(store, ref, depth);
      } catch (error) {
        // A store that does not answer may have it. Everything else would be the same next time.
        if (error instanceof AnnealError && error.code === 'StoreUnavailable') throw error;
        return error instanceof Error ? error.message : String(error);
      }
    }),
  );
  return verdicts.find((verdict) => verdict !== undefined);
}

async function verifyOutput(
  store: ArtifactStore,
  ref: ArtifactRef,
  depth: VerifyDepth,
): Promise<string | undefined> {
  const key = store.keyOf(ref.uri);
  const files = await filesOf(store, ref, key);
  if (files === undefined) return `the manifest of ${ref.uri} is gone`;
  const sizes = await sizesOf(store, ref, key);
  for (const { key: file, entry } of files) {
    const found = sizes.get(file);
    if (found === undefined) return `${file} is gone`;
    if (found !== entry.sizeBytes) return `${file} has ${found} bytes, and had ${entry.sizeBytes}`;
    if (depth === 'full' && (await digestOfObject(store, file)) !== entry.sha256)
      return `${file} has other contents than were stored`;
  }
  return undefined;
}

interface StoredFile {
  readonly key: string;
  readonly entry: Pick<FileEntry, 'sizeBytes' | 'sha256'>;
}

/** The files of an output; those of a directory as the manifest beside it lists them. */
async function filesOf(
  store: ArtifactStore,
  ref: ArtifactRef,
  key: string,
): Promise<StoredFile[] | undefined> {
  if (ref.form === 'file') return [{ key, entry: { sizeBytes: ref.sizeBytes, sha256: ref.digest } }];
  const bytes = await store.readBytes(`${key.slice(0, key.indexOf('/outputs/'))}/manifest.json`);
  if (bytes === undefined) return undefined;
  const { outputs } = JSON.parse(new TextDecoder().decode(bytes)) as Manifest;
  const files = Object.values(outputs).find((output) => output.uri === ref.uri)?.files;
  return files?.map((entry) => ({ key: `${key}/${entry.path}`, entry }));
}

/** One question for a whole directory: an object store answers it for a thousand files at once. */
async function sizesOf(store: ArtifactStore, ref: ArtifactRef, key: string): Promise<Map<string, number>> {
  const sizes = new Map<string, number>();
  if (ref.form === 'directory')
    for await (const object of store.list(`${key}/`)) sizes.set(object.key, object.sizeBytes);
  else {
    const found = await store.stat(key);
    if (found) sizes.set(key, found.sizeBytes);
  }
  return sizes;
}

async function digestOfObject(store: ArtifactStore, key: string): Promise<string | undefined> {
  const pieces = await store.openRead(key);
  if (pieces === undefined) return undefined;
  const hash = createHash('sha256');
  for await (const piece of pieces) hash.update(piece);
  return hash.digest('hex');
}
