import { z } from 'zod';
import { absentIsDone, buildUrl, readJson, type Api } from './api.js';
import { openArtifactSource, readResponse, saveResponse, type ArtifactSource } from './artifact-files.js';
import { encodeArtifactPath, readArtifactRoot } from './artifact-location.js';
import { allPages, type Page, type PageRequest } from './paging.js';
import type { CallOptions, Transport } from './transport.js';
import { wireInteger, wirePageToken } from './wire.js';

const PROXY = 'api/2.0/mlflow-artifacts/artifacts';

/** A file or directory below an artifact root. */
export interface ArtifactFile {
  /** Relative to the root, with `/`. */
  readonly path: string;
  readonly isDir: boolean;
  /** Undefined for directories. MLflow leaves 0 and "unknown" out alike: both read as 0 here, as in its Python client. */
  readonly fileSize: number | undefined;
}

/** Which artifact. */
export interface ArtifactOf {
  /** `artifactUri` of a run or a LoggedModel: `mlflow-artifacts:/...`. */
  readonly root: string;
  /** Relative, with `/`; refused when it could leave the root. */
  readonly path: string;
}

/** Which directory, by run or by root; the top one when `path` is absent. */
export type ListArtifacts =
  | { readonly runId: string; readonly path?: string | undefined }
  | { readonly root: string; readonly path?: string | undefined };

/** Calls on artifacts, all through MLflow's artifact proxy. The time limit counts silence, not the whole transfer. */
export interface Artifacts {
  /** One directory, not its subdirectories. */
  readonly list: (directory: ListArtifacts, options?: CallOptions) => Promise<ArtifactFile[]>;
  /** Writes or overwrites one artifact; a file is streamed with its size. */
  readonly put: (artifact: ArtifactOf & ArtifactSource, options?: CallOptions) => Promise<void>;
  /** One artifact in memory, 16 MiB at most unless `maxBytes` says otherwise. */
  readonly get: (
    artifact: ArtifactOf & { readonly maxBytes?: number | undefined },
    options?: CallOptions,
  ) => Promise<Uint8Array>;
  /** Streams one artifact into a file that appears only when it is whole; returns its size in bytes. */
  readonly download: (
    artifact: ArtifactOf & { readonly file: string },
    options?: CallOptions,
  ) => Promise<number>;
  /** Deletes a file or a directory with all that is in it. */
  readonly delete: (artifact: ArtifactOf, options?: CallOptions) => Promise<void>;
}

/** Makes the calls on artifacts. */
export function createArtifacts(transport: Transport, api: Api): Artifacts {
  const locate = ({ root, path }: ArtifactOf): URL => {
    const location = readArtifactRoot(root, transport.server);
    return new URL(`${location.server}/${PROXY}/${encodeArtifactPath(join(location.path, path))}`);
  };
  return {
    list: (directory, options) =>
      'runId' in directory ? listByRun(api, directory, options) : listByRoot(transport, directory, options),
    put: async (artifact, options) => {
      const url = locate(artifact);
      const body = await openArtifactSource(artifact);
      await transport.send({
        ...options,
        call: `PUT artifact ${artifact.path}`,
        method: 'PUT',
        url,
        body,
        read: discard,
      });
    },
    get: async ({ maxBytes = 16 * 1024 * 1024, ...artifact }, options) =>
      transport.send({
        ...options,
        call: `GET artifact ${artifact.path}`,
        method: 'GET',
        url: locate(artifact),
        read: (response, touch) => readResponse(response, maxBytes, touch),
      }),
    download: async ({ file, ...artifact }, options) =>
      transport.send({
        ...options,
        call: `GET artifact ${artifact.path}`,
        method: 'GET',
        url: locate(artifact),
        read: (response, touch) => saveResponse(response, file, touch),
      }),
    delete: async (artifact, options) =>
      transport.send<void>({
        ...options,
        call: `DELETE artifact ${artifact.path}`,
        method: 'DELETE',
        url: locate(artifact),
        body: { contentType: 'application/json', open: () => '{}' },
        read: discard,
        settle: absentIsDone,
      }),
  };
}

async function listByRun(
  api: Api,
  { runId, path }: { readonly runId: string; readonly path?: string | undefined },
  options: CallOptions | undefined,
): Promise<ArtifactFile[]> {
  if (path !== undefined) encodeArtifactPath(path);
  const listAll = allPages(({ pageToken }: PageRequest): Promise<Page<ArtifactFile>> =>
    api.call({
      ...options,
      method: 'GET',
      path: 'artifacts/list',
      query: { runId, path, pageToken },
      schema: filePageSchema,
    }),
  );
  const files: ArtifactFile[] = [];
  for await (const file of listAll({})) files.push(file);
  return files;
}

/** The proxy answers bare names, which are joined to the directory here. */
async function listByRoot(
  transport: Transport,
  { root, path = '' }: { readonly root: string; readonly path?: string | undefined },
  options: CallOptions | undefined,
): Promise<ArtifactFile[]> {
  const location = readArtifactRoot(root, transport.server);
  const directory = path === '' ? location.path : join(location.path, path);
  if (directory !== '') encodeArtifactPath(directory);
  const call = 'GET artifacts';
  const page = await transport.send({
    ...options,
    call,
    method: 'GET',
    url: buildUrl(location.server, PROXY, { path: directory }),
    read: async (response) =>
      readJson({ call, server: location.server, text: await response.text() }, filePageSchema),
  });
  return page.items.map((file) => ({ ...file, path: join(path, file.path) }));
}

function join(directory: string, name: string): string {
  return directory === '' ? name : `${directory}/${name}`;
}

async function discard(response: Response): Promise<void> {
  await response.arrayBuffer();
}

const filePageSchema = z
  .object({
    files: z
      .array(
        z.object({ path: z.string(), isDir: z.boolean().default(false), fileSize: wireInteger.optional() }),
      )
      .default([])
      .transform((files) =>
        files.map(({ path, isDir, fileSize }): ArtifactFile => ({
          path,
          isDir,
          fileSize: isDir ? undefined : (fileSize ?? 0),
        })),
      ),
    nextPageToken: wirePageToken,
  })
  .transform(({ files, nextPageToken }) => ({ items: files, nextPageToken }));
