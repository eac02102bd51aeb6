import type { ModelFiles } from '../../activities/ports/model-registry.js';
import type { FileEntry } from '../../core/artifacts.js';
import { openModelPlace, type ModelPlaceDeps } from './model-place.js';

/** What to upload, and where to. */
export interface ModelUpload {
  /** `artifactUri` of the LoggedModel. */
  readonly root: string;
  readonly files: ModelFiles;
}

/**
 * Uploads a model's files as they are. What is there already with its size is left, so an upload that broke off goes on; `MLmodel`,
 * which makes the directory a model, goes last.
 */
export async function uploadModel(
  deps: ModelPlaceDeps,
  { root, files }: ModelUpload,
  signal: AbortSignal,
): Promise<void> {
  const place = openModelPlace(deps, root);
  const there = await place.list(directoriesOf(files.entries), signal);
  const missing = files.entries.filter(({ path, sizeBytes }) => there.get(path) !== sizeBytes);
  const last = (entry: FileEntry) => (entry.path === 'MLmodel' ? 1 : 0);
  for (const entry of missing.sort((a, b) => last(a) - last(b))) {
    signal.throwIfAborted();
    await files.withFile(entry, (file) => place.put(entry.path, file, signal));
  }
}

/** Every directory that holds one of the files: of `a/b/c` they are `a` and `a/b`. */
export function directoriesOf(entries: readonly FileEntry[]): string[] {
  const parents = entries.flatMap(({ path }) => {
    const names = path.split('/').slice(0, -1);
    return names.map((_, i) => names.slice(0, i + 1).join('/'));
  });
  return [...new Set(parents)];
}
