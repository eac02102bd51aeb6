import type { FileHandle } from 'node:fs/promises';

import type { ArtifactStore, PodPlace } from '../../core/artifact-store.js';
import { chunkKey, storeKeys } from '../../core/artifact-store.js';
import { openVolumeFile } from './volume-files.js';

/** A file that grows, on its way to the store in numbered pieces. One caller at a time. */
export interface ChunkStream {
  /** Stores what has come since. @throws AnnealError StoreUnavailable: the next call goes on where this one was. */
  flush(): Promise<void>;
  /** Stores a piece of Anneal's own behind the others; nothing comes after it. */
  finish(text: string): Promise<void>;
  /** Bytes in the store, as far as is known. */
  storedBytes(): number;
}

/** What is streamed. */
export interface ChunkSource {
  readonly store: ArtifactStore;
  readonly place: PodPlace;
  readonly stream: 'logs' | 'metrics';
  /** The volume, and the file in it. */
  readonly root: string;
  readonly file: string;
}

/**
 * Each piece is written once and holds the bytes after those of the one before. What an earlier process of this pod stored is found by its
 * sizes, so that after a restart nothing is missing or there twice.
 */
export function createChunkStream({ store, place, stream, root, file }: ChunkSource): ChunkStream {
  let at: Position | undefined;
  const find = async (): Promise<Position> => {
    let [next, offset] = [0, 0];
    for await (const { sizeBytes } of store.list(storeKeys.podChunks(place, stream))) {
      next++;
      offset += sizeBytes;
    }
    return { next, offset };
  };
  return {
    finish: async (text) => {
      at ??= await find();
      await store.putBytes(chunkKey(place, stream, at.next), Buffer.from(text), { ifAbsent: true });
    },
    storedBytes: () => at?.offset ?? 0,
    flush: async () => {
      at ??= await find();
      const handle = await openVolumeFile(root, file);
      if (handle === undefined) return;
      try {
        for (;;) {
          const bytes = await readChunk(handle, at.offset);
          if (bytes.length === 0) return;
          const key = chunkKey(place, stream, at.next);
          const result = await store.putBytes(key, bytes, { ifAbsent: true });
          // A piece that was on its way when an earlier process died has come after all.
          at = result === 'stored' ? { next: at.next + 1, offset: at.offset + bytes.length } : await find();
        }
      } finally {
        await handle.close();
      }
    },
  };
}

interface Position {
  readonly next: number;
  readonly offset: number;
}

const CHUNK_BYTES = 512 * 1024;

async function readChunk(handle: FileHandle, offset: number): Promise<Uint8Array> {
  const { buffer, bytesRead } = await handle.read(Buffer.alloc(CHUNK_BYTES), 0, CHUNK_BYTES, offset);
  return buffer.subarray(0, bytesRead);
}

/** Keeps streams flowing until it is ended; a store that is away is tried again. */
export function keepFlowing(
  streams: readonly ChunkStream[],
  clock: { nowMs(): number },
): { end(): Promise<void> } {
  const startedAtMs = clock.nowMs();
  let timer: NodeJS.Timeout | undefined;
  let running: Promise<void> = Promise.resolve();
  let ended = false;
  const turn = () => {
    running = Promise.all(streams.map((stream) => stream.flush().catch(() => undefined))).then(() => {
      // A step that runs for days needs no piece for each second of them.
      const pauseMs = Math.min(SLOWEST_MS, Math.max(FASTEST_MS, (clock.nowMs() - startedAtMs) / 60));
      if (!ended) timer = setTimeout(turn, pauseMs);
    });
  };
  timer = setTimeout(turn, FIRST_MS);
  return {
    end: async () => {
      ended = true;
      clearTimeout(timer);
      await running;
    },
  };
}

const FIRST_MS = 300;
const FASTEST_MS = 1_000;
const SLOWEST_MS = 10_000;
