import type { V1Pod } from '@kubernetes/client-node';
import type { AttemptView } from './attempt-watcher.js';

/** Pods of an attempt, also those that are gone, as they were last seen. */
export interface PodsSeen {
  /** Takes in what is there now. */
  update(view: AttemptView): void;
  /** Oldest first. */
  readonly pods: readonly V1Pod[];
  readonly uids: readonly string[];
  /** Uids of those that are gone. */
  readonly gone: ReadonlySet<string>;
}

/** An attempt that nobody has looked at yet. */
export function createPodsSeen(): PodsSeen {
  const known = new Map<string, V1Pod>();
  let gone = new Set<string>();
  return {
    update: ({ pods }) => {
      const present = new Set<string>();
      for (const pod of pods) {
        const uid = pod.metadata?.uid ?? '';
        present.add(uid);
        known.set(uid, pod);
      }
      gone = new Set([...known.keys()].filter((uid) => !present.has(uid)));
    },
    get pods() {
      return [...known.values()];
    },
    get uids() {
      return [...known.keys()];
    },
    get gone() {
      return gone;
    },
  };
}
