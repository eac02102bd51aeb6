import type { CheckpointSync } from '../adapters/attempt-files/checkpoint-sync.js';
import { watchDirectory } from '../adapters/attempt-files/watch-directory.js';

/** Stores checkpoints as they become whole, one after the other, until it is ended. */
export function keepSyncing(sync: CheckpointSync, directory: string): { end(): Promise<void> } {
  let running: Promise<void> | undefined;
  let again = false;
  let ended = false;
  const trigger = () => {
    if (ended) return;
    if (running !== undefined) {
      again = true;
      return;
    }
    again = false;
    // A store that is away is asked again at the next turn.
    running = sync
      .sync()
      .then(ignore, ignore)
      .then(() => {
        running = undefined;
        if (again) trigger();
      });
  };
  const watcher = watchDirectory(directory, (name) => {
    if (name !== null) sync.notice(name);
    if (name === null || !name.endsWith('.tmp')) trigger();
  });
  const poll = setInterval(trigger, POLL_MS);
  return {
    end: async () => {
      ended = true;
      clearInterval(poll);
      watcher.close();
      await running;
    },
  };
}

const POLL_MS = 1_000;
const ignore = () => undefined;
