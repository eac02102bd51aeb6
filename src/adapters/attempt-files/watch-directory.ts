import { watch } from 'node:fs';

/**
 * Calls back when a name in a directory appears, changes or goes. Only a hint, to be quicker than the poll that every caller has
 * beside it: some file systems tell nothing, and the system's limit of watches may be reached.
 */
export function watchDirectory(directory: string, onEvent: (name: string | null) => void): { close(): void } {
  try {
    const watcher = watch(directory, (_, name) => onEvent(name));
    watcher.on('error', () => watcher.close());
    return watcher;
  } catch {
    return { close: () => undefined };
  }
}
