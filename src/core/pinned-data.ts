import type { ArtifactRef } from './artifacts.js';
import { treeDigest } from './artifacts.js';
import type { PinnedObject } from './dataset-pin.js';
import { digestOf } from './digest.js';

/** What lies at a URI. */
export interface FoundData {
  readonly source: string;
  readonly form: ArtifactRef['form'];
  readonly objects: readonly PinnedObject[];
}

/** Objects of one dataset at most: their list is read whole. */
export const PINNED_OBJECTS = 100_000;

/** What is wrong with a dataset's URI, as "it must be ..."; `undefined` when nothing is. What it names is looked at when it is pinned. */
export function datasetUriProblem(uri: string): string | undefined {
  if (uri.length > URI_LENGTH) return `at most ${URI_LENGTH} characters long (it has ${uri.length})`;
  if (CONTROL.test(uri)) return 'without control characters';
  if (/^s3:\/\/[^/]+\/./.test(uri)) return undefined;
  if (/^file:\/\/\/./.test(uri)) return undefined;
  const authority = /^https?:\/\/([^/?#]+)/.exec(uri)?.[1];
  if (authority === undefined)
    return 's3://BUCKET/KEY, s3://BUCKET/PREFIX/, https://HOST/PATH or file:///PATH';
  return authority.includes('@')
    ? 'without a user or password: it is shown with the run. Use s3:// with credentials of the worker'
    : undefined;
}

const URI_LENGTH = 2_000;
// eslint-disable-next-line no-control-regex -- what no URI holds
const CONTROL = /[\u0000-\u001f\u007f]/;

/**
 * The digest of what was found, for cache keys and for people: of contents, as artifacts of steps have it, where all of them are known;
 * else of the URI with size and ETag of each object, so that nothing but the same objects of the same place has it.
 */
export function pinDigest({ source, form, objects }: FoundData): string {
  const files = objects.flatMap(({ path, sizeBytes, sha256 }) =>
    sha256 === undefined ? [] : [{ path, sizeBytes, sha256 }],
  );
  const [first] = files;
  if (files.length === objects.length && first) return form === 'file' ? first.sha256 : treeDigest(files);
  return digestOf({
    source,
    objects: objects.map(({ path, sizeBytes, etag, sha256 }) => [path, sizeBytes, sha256 ?? etag ?? '']),
  });
}
