import type { MlflowClient } from 'mlflow-ts-client';
import type { ModelFiles } from '../../activities/ports/model-registry.js';
import type { FileEntry } from '../../core/artifacts.js';
import type { Patience } from './patience.js';

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
  { client, patiently }: { readonly client: MlflowClient; readonly patiently: Patience },
  { root, files }: ModelUpload,
  signal: AbortSignal,
): Promise<void> {
  const there = await patiently(signal, () => listFiles(client, { root, entries: files.entries }, signal));
  const missing = files.entries.filter(({ path, sizeBytes }) => there.get(path) !== sizeBytes);
  const last = (entry: FileEntry) => (entry.path === 'MLmodel' ? 1 : 0);
  for (const entry of missing.sort((a, b) => last(a) - last(b))) {
    await files.withFile(entry, (file) =>
      patiently(signal, () => client.artifacts.put({ root, path: entry.path, file }, { signal })),
    );
  }
}

/** Sizes of the files that are there, by path; looks only into directories of the model. */
async function listFiles(
  client: MlflowClient,
  { root, entries }: { readonly root: string; readonly entries: readonly FileEntry[] },
  signal: AbortSignal,
): Promise<Map<string, number>> {
  const sizes = new Map<string, number>();
  const directories = new Set(entries.flatMap(({ path }) => parentsOf(path)));
  for (const path of ['', ...directories].sort()) {
    if (path !== '' && !sizes.has(`${path}/`)) continue;
    const listed = await client.artifacts.list(path === '' ? { root } : { root, path }, { signal });
    for (const file of listed) sizes.set(file.isDir ? `${file.path}/` : file.path, file.fileSize ?? -1);
  }
  return sizes;
}

/** `a/b/c` gives `a` and `a/b`. */
function parentsOf(path: string): string[] {
  const names = path.split('/').slice(0, -1);
  return names.map((_, i) => names.slice(0, i + 1).join('/'));
}
