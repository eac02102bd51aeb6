import type { MlflowClient } from 'mlflow-ts-client';
import type { ArtifactStore } from '../../core/artifact-store.js';
import { AnnealError } from '../../core/failures.js';
import { isS3Uri } from '../../core/store-location.js';
import type { Patience } from './patience.js';

/** A store at the root of somebody's artifacts, such as `s3://bucket/mlflow/1/models/m-1/artifacts`. */
export type OpenArtifacts = (root: string) => Pick<ArtifactStore, 'list' | 'putFile' | 'fetchFile'>;

/** Where the files of one model are: paths are relative, with `/`. */
export interface ModelPlace {
  /** Sizes of the files that are there; a directory that was not asked for is one entry with a slash at its end, where files are not listed flat. */
  list(directories: readonly string[], signal: AbortSignal): Promise<ReadonlyMap<string, number>>;
  put(path: string, localPath: string, signal: AbortSignal): Promise<void>;
  fetch(path: string, localPath: string, signal: AbortSignal): Promise<void>;
}

/** What {@link createModelPlaces} is made of. */
export interface ModelPlaceDeps {
  readonly client: MlflowClient;
  readonly patiently: Patience;
  /** For servers whose artifacts are in S3 and do not pass through them. */
  readonly openArtifacts?: OpenArtifacts | undefined;
}

/**
 * The place of a model by its artifact root: MLflow's artifact proxy, or S3 itself where the server does not stand between. Retries of
 * the proxy are the client's and the patience's, those of S3 the store's.
 * @throws AnnealError TrackingRefused for a root that only the server's own machine can reach.
 */
export function openModelPlace(deps: ModelPlaceDeps, root: string): ModelPlace {
  if (isS3Uri(root) && deps.openArtifacts !== undefined) return directPlace(deps.openArtifacts(root));
  if (root.startsWith('mlflow-artifacts:')) return proxiedPlace(deps, root);
  throw new AnnealError(
    'TrackingRefused',
    `MLflow keeps the model's files at ${root}, where this machine cannot write. Start its server with --serve-artifacts, or with an artifact root in S3, and use a new experiment: the root of an experiment never changes.`,
  );
}

function directPlace(store: ReturnType<OpenArtifacts>): ModelPlace {
  return {
    list: async () => {
      const sizes = new Map<string, number>();
      for await (const { key, sizeBytes } of store.list('')) sizes.set(key, sizeBytes);
      return sizes;
    },
    put: async (path, localPath) => {
      await store.putFile(path, localPath);
    },
    fetch: async (path, localPath) => await store.fetchFile(path, localPath),
  };
}

function proxiedPlace({ client, patiently }: ModelPlaceDeps, root: string): ModelPlace {
  return {
    list: (directories, signal) => patiently(signal, () => listFiles(client, { root, directories }, signal)),
    put: (path, file, signal) =>
      patiently(signal, () => client.artifacts.put({ root, path, file }, { signal })),
    fetch: async (path, file, signal) => {
      await patiently(signal, () => client.artifacts.download({ root, path, file }, { signal }));
    },
  };
}

/** The proxy lists one directory at a time; looks only into those that are asked for. */
async function listFiles(
  client: MlflowClient,
  { root, directories }: { readonly root: string; readonly directories: readonly string[] },
  signal: AbortSignal,
): Promise<Map<string, number>> {
  const sizes = new Map<string, number>();
  for (const path of ['', ...directories].sort()) {
    if (path !== '' && !sizes.delete(`${path}/`)) continue;
    const listed = await client.artifacts.list(path === '' ? { root } : { root, path }, { signal });
    for (const file of listed) sizes.set(file.isDir ? `${file.path}/` : file.path, file.fileSize ?? -1);
  }
  return sizes;
}
