import type { ArtifactStore } from '../core/artifact-store.js';
import { chunkKey, storeKeys } from '../core/artifact-store.js';

/** Reads the log of an attempt on Kubernetes as its pods store it, piece by piece, from where it was left. */
export interface PodLogReader {
  /** The bytes that have come since. @param settled no more will come: all pods are looked for once more. */
  read(settled: boolean): AsyncGenerator<Uint8Array>;
}

/** How often it is asked for the next piece before it is asked whether there is another pod. */
const LOOKS_PER_POD = 25;

/** A reader from the beginning of the attempt's first pod on. */
export function createPodLogReader(
  store: Pick<ArtifactStore, 'list' | 'readBytes'>,
  of: { readonly executionId: string; readonly attemptName: string },
): PodLogReader {
  /** Number of the next piece by pod, in the order in which the pods began. */
  const next = new Map<string, number>();
  let looks = 0;
  const findPods = async () => {
    const prefix = `${storeKeys.attempt(of.executionId, of.attemptName)}logs/`;
    const found: { readonly podUid: string; readonly modifiedAtMs: number }[] = [];
    for await (const { key, modifiedAtMs } of store.list(prefix)) {
      const [podUid, number] = key.slice(prefix.length).split('/');
      if (podUid !== undefined && number !== undefined && Number(number) === 0)
        found.push({ podUid, modifiedAtMs });
    }
    found.sort((a, b) => a.modifiedAtMs - b.modifiedAtMs);
    for (const { podUid } of found) if (!next.has(podUid)) next.set(podUid, 0);
  };
  return {
    async *read(settled) {
      if (next.size === 0 || settled || (looks += 1) % LOOKS_PER_POD === 0) await findPods();
      for (const [podUid, first] of next)
        for (let n = first; ; n++) {
          const bytes = await store.readBytes(chunkKey({ ...of, podUid }, 'logs', n));
          if (bytes === undefined) break;
          next.set(podUid, n + 1);
          yield bytes;
        }
    },
  };
}
