import type { CacheEntry } from '../core/activities.js';
import type { ArtifactRef, Manifest } from '../core/artifacts.js';
import type { AttemptSucceeded } from '../core/attempt.js';
import { storeKeys, type ArtifactStore } from '../core/artifact-store.js';
import { AnnealError } from '../core/failures.js';
import type { Clock } from './ports/activity-context.js';

/** A finished step, and the run that made it. */
export interface CachedAttempt {
  readonly outcome: AttemptSucceeded;
  readonly runId: string;
  readonly executionId?: string;
  /** Experiment of the run, where it is tracked. */
  readonly experimentId?: string;
}

/** The index of finished steps that later calls may reuse. */
export interface CacheIndex {
  /**
   * The entry of a key, if it is young enough and every file behind it is still there with its size. An entry that cannot be read, or
   * that names another store, is no entry.
   * @throws AnnealError StoreUnavailable
   */
  lookUp(key: string, ttlMs: number | undefined): Promise<CacheEntry | null>;
  /** Adds a finished step. The last writer of a key wins: all of them made the same, and its files are the likeliest to be there. */
  store(key: string, made: CachedAttempt): Promise<void>;
}

/** A cache index in the artifact store. A look-up waits for an entry that this process is writing. */
export function createCacheIndex(store: ArtifactStore, clock: Pick<Clock, 'nowMs'>): CacheIndex {
  const writing = new Map<string, Promise<unknown>>();
  return {
    lookUp: async (key, ttlMs) => {
      await writing.get(key)?.catch(() => undefined);
      try {
        return await findWhole(store, key, ttlMs === undefined ? -Infinity : clock.nowMs() - ttlMs);
      } catch (error) {
        // A store that does not answer may have it. Everything else would be the same next time: the step runs and writes it anew.
        if (error instanceof AnnealError && error.code === 'StoreUnavailable') throw error;
        return null;
      }
    },
    store: async (key, made) => {
      const entry = buildEntry(key, made, clock.nowMs());
      const bytes = new TextEncoder().encode(JSON.stringify(entry));
      const write = store.putBytes(storeKeys.cache(key), bytes, { remakeable: true });
      writing.set(key, write);
      try {
        await write;
      } finally {
        if (writing.get(key) === write) writing.delete(key);
      }
    },
  };
}

function buildEntry(
  key: string,
  { outcome, runId, executionId, experimentId }: CachedAttempt,
  storedAtMs: number,
): CacheEntry {
  const { attemptName, outputs, parameters, trackingRunId } = outcome;
  return {
    key,
    runId,
    attemptName,
    ...(executionId === undefined ? {} : { executionId }),
    ...(experimentId === undefined || trackingRunId === undefined
      ? {}
      : { tracking: { experimentId, runId: trackingRunId } }),
    storedAtMs,
    outputs,
    parameters,
  };
}

async function findWhole(store: ArtifactStore, key: string, sinceMs: number): Promise<CacheEntry | null> {
  const bytes = await store.readBytes(storeKeys.cache(key));
  if (!bytes) return null;
  const entry = JSON.parse(new TextDecoder().decode(bytes)) as CacheEntry;
  if (!(entry.storedAtMs >= sinceMs)) return null;
  const whole = await Promise.all(Object.values(entry.outputs).map(async (ref) => await isWhole(store, ref)));
  return whole.every(Boolean) ? entry : null;
}

/** Size check of every file, as the manifest beside the output lists them; contents are not read. */
async function isWhole(store: ArtifactStore, ref: ArtifactRef): Promise<boolean> {
  const key = store.keyOf(ref.uri);
  if (ref.form === 'file') return (await store.stat(key))?.sizeBytes === ref.sizeBytes;
  const bytes = await store.readBytes(`${key.slice(0, key.indexOf('/outputs/'))}/manifest.json`);
  if (!bytes) return false;
  const { outputs } = JSON.parse(new TextDecoder().decode(bytes)) as Manifest;
  const files = Object.values(outputs).find((output) => output.uri === ref.uri)?.files;
  if (!files) return false;
  const sizes = await Promise.all(
    files.map(async (file) => (await store.stat(`${key}/${file.path}`))?.sizeBytes === file.sizeBytes),
  );
  return sizes.every(Boolean);
}
