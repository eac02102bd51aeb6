import { createHash } from 'node:crypto';
import type { ArtifactStore, StoredObject } from '../core/artifact-store.js';
import type { ArtifactRef, FileEntry, Manifest } from '../core/artifacts.js';
import { AnnealError } from '../core/failures.js';

/** How closely the files behind a result are looked at: `size` asks the store for the size of each, and its ETag where it keeps one; `full` reads them. */
export type VerifyDepth = 'size' | 'full';

/** What the store says of the objects behind a result when it is stored; of an output for which it keeps no ETags, nothing. */
export async function sealOutputs(store: ArtifactStore, outputs: Outputs): Promise<Seals> {
  const seals: { [output: string]: string } = {};
  for (const [name, ref] of Object.entries(outputs)) {
    const seal = sealOf(await objectsOf(store, ref, store.keyOf(ref.uri)));
    if (seal === undefined) return seals;
    seals[name] = seal;
  }
  return seals;
}

/**
 * Looks at every file behind a result, and at the seals it was stored with. Answers with what is wrong with the first that is not as it was stored.
 * @throws AnnealError StoreUnavailable
 */
export async function verifyOutputs(
  store: ArtifactStore,
  { outputs, seals = {} }: { readonly outputs: Outputs; readonly seals?: Seals },
  depth: VerifyDepth,
): Promise<string | undefined> {
  const verdicts = await Promise.all(
    Object.entries(outputs).map(async ([name, ref]) => {
      try {
        return await verifyOutput(store, { ref, seal: seals[name] }, depth);
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
  { ref, seal }: { readonly ref: ArtifactRef; readonly seal: string | undefined },
  depth: VerifyDepth,
): Promise<string | undefined> {
  const key = store.keyOf(ref.uri);
  const files = await filesOf(store, ref, key);
  if (files === undefined) return `the manifest of ${ref.uri} is gone`;
  const objects = await objectsOf(store, ref, key);
  for (const { key: file, entry } of files) {
    const found = objects.get(file)?.sizeBytes;
    if (found === undefined) return `${file} is gone`;
    if (found !== entry.sizeBytes) return `${file} has ${found} bytes, and had ${entry.sizeBytes}`;
    if (depth === 'full' && (await digestOfObject(store, file)) !== entry.sha256)
      return `${file} has other contents than were stored`;
  }
  if (seal !== undefined && sealOf(objects) !== seal)
    return `the objects of ${ref.uri} have other ETags than when they were stored`;
  return undefined;
}

type Outputs = { readonly [name: string]: ArtifactRef };
type Seals = { readonly [output: string]: string };
type StoredObjects = ReadonlyMap<string, StoredObject>;

/** Undefined where one of the objects has no ETag. */
function sealOf(objects: StoredObjects): string | undefined {
  const hash = createHash('sha256');
  const sorted = [...objects.values()].sort((a, b) => (a.key < b.key ? -1 : 1));
  for (const { key, etag } of sorted) {
    if (etag === undefined) return undefined;
    hash.update(`${key}\0${etag}\0`);
  }
  return hash.digest('hex');
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
async function objectsOf(store: ArtifactStore, ref: ArtifactRef, key: string): Promise<StoredObjects> {
  const objects = new Map<string, StoredObject>();
  if (ref.form === 'directory')
    for await (const object of store.list(`${key}/`)) objects.set(object.key, object);
  else {
    const found = await store.stat(key);
    if (found) objects.set(key, found);
  }
  return objects;
}

async function digestOfObject(store: ArtifactStore, key: string): Promise<string | undefined> {
  const pieces = await store.openRead(key);
  if (pieces === undefined) return undefined;
  const hash = createHash('sha256');
  for await (const piece of pieces) hash.update(piece);
  return hash.digest('hex');
}
