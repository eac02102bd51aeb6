import { createHash } from 'node:crypto';
import type { ArtifactStore, StoredObject } from '../../src/core/artifact-store.js';

/** An artifact store in memory, for bytes: whole objects, first writer wins where asked, lists in key order. */
export function createMemoryStore(
  nowMs: () => number = () => 0,
  { etags = false } = {},
): ArtifactStore & {
  readonly objects: Map<string, Uint8Array>;
  /** When each was written. */
  readonly times: Map<string, number>;
} {
  const objects = new Map<string, Uint8Array>();
  const times = new Map<string, number>();
  const rootUri = 'memory://store';
  const uriOf = (key: string) => `${rootUri}/${key}`;
  const found = (key: string): StoredObject | undefined => {
    const bytes = objects.get(key);
    const etag = etags && bytes ? { etag: createHash('md5').update(bytes).digest('hex') } : {};
    return (
      bytes && { key, uri: uriOf(key), sizeBytes: bytes.length, modifiedAtMs: times.get(key) ?? 0, ...etag }
    );
  };
  const notUsed = () => Promise.reject(new Error('not used here'));
  return {
    objects,
    times,
    rootUri,
    uriOf,
    keyOf: (uri) => uri.slice(rootUri.length + 1),
    putFile: notUsed,
    putBytes: (key, bytes, options) => {
      if (options?.ifAbsent === true && objects.has(key)) return Promise.resolve('exists');
      objects.set(key, bytes);
      times.set(key, nowMs());
      return Promise.resolve('stored');
    },
    readBytes: (key) => Promise.resolve(objects.get(key)),
    openRead: (key) => {
      const bytes = objects.get(key);
      return Promise.resolve(bytes && pieces(bytes));
    },
    stat: (key) => Promise.resolve(found(key)),
    fetchFile: notUsed,
    list: async function* (prefix) {
      for (const key of [...objects.keys()].sort()) {
        const object = key.startsWith(prefix) ? found(key) : undefined;
        if (object) yield object;
      }
    },
    removeAll: (prefix) => {
      for (const key of [...objects.keys()]) if (key.startsWith(prefix)) objects.delete(key);
      return Promise.resolve();
    },
    remove: (keys) => {
      for (const key of keys) objects.delete(key);
      return Promise.resolve();
    },
  };
}

async function* pieces(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}
