import { watch } from 'node:fs';
import type { FSWatcher } from 'node:fs';
import path from 'node:path';

/** A watch that runs until it is closed. */
export interface ProjectWatch {
  /** Watches other files from now on, as the last build named them. */
  update(inputs: readonly string[]): void;
  close(): void;
}

/**
 * Calls back when an input of the last build changes, comes or goes, once for a burst of changes.
 * @param options `inputs`: from {@link buildProject}; `settleMs`: quiet time after the last change, default 150.
 */
export function watchProject(options: {
  readonly inputs: readonly string[];
  readonly onChange: (changed: readonly string[]) => void;
  readonly settleMs?: number;
}): ProjectWatch {
  const { onChange, settleMs = 150 } = options;
  const changed = new Set<string>();
  let watchers = new Map<string, FSWatcher>();
  let timer: NodeJS.Timeout | undefined;
  const report = () => {
    const files = [...changed];
    changed.clear();
    onChange(files);
  };
  const note = (directory: string, name: string | null) => {
    if (name !== null && isNoise(name)) return;
    changed.add(name === null ? directory : path.join(directory, name));
    clearTimeout(timer);
    timer = setTimeout(report, settleMs);
  };
  const update = (inputs: readonly string[]) => {
    // Directories, because editors replace files and a watch on a file ends with it; and new files count.
    const wanted = new Set(
      inputs
        .filter((file) => !file.includes(`${path.sep}node_modules${path.sep}`))
        .map((file) => path.dirname(file)),
    );
    const kept = new Map<string, FSWatcher>();
    for (const directory of wanted) {
      const watcher = watchers.get(directory) ?? watchDirectory(directory, note);
      if (watcher) kept.set(directory, watcher);
    }
    for (const [directory, watcher] of watchers) if (!kept.has(directory)) watcher.close();
    watchers = kept;
  };
  update(options.inputs);
  return {
    update,
    close() {
      clearTimeout(timer);
      for (const watcher of watchers.values()) watcher.close();
      watchers.clear();
    },
  };
}

function watchDirectory(
  directory: string,
  note: (directory: string, name: string | null) => void,
): FSWatcher | undefined {
  try {
    const watcher = watch(directory, (_event, name) => note(directory, name));
    // The directory went away: its files are inputs, so the build says what is missing.
    watcher.on('error', () => note(directory, null));
    return watcher;
  } catch {
    return undefined;
  }
}

/** Editors' own files, and what Anneal and Python write beside sources. */
function isNoise(name: string): boolean {
  return (
    name === '.anneal' ||
    name === '__pycache__' ||
    name === '.git' ||
    name.endsWith('~') ||
    /^\.#|\.sw[a-z]$|^4913$/.test(name)
  );
}
