import type { ExternalData } from '../../activities/ports/external-data.js';
import { AnnealError } from '../../core/failures.js';
import { datasetUriProblem } from '../../core/pinned-data.js';
import type { S3ConnectionOptions } from '../s3-store/connect-s3.js';
import { createFileSource } from './file-source.js';
import type { HttpsOptions } from './https-request.js';
import { createHttpsSource } from './https-source.js';
import { createS3Source } from './s3-source.js';

export type { ExternalData };

/** How data of others is reached. */
export interface ExternalDataOptions extends HttpsOptions {
  readonly s3?: Omit<S3ConnectionOptions, 'bucket'> | undefined;
}

/** Reads data that others keep. Nothing is asked before the first call. */
export function createExternalData(options: ExternalDataOptions): ExternalData {
  const sources: { readonly [scheme: string]: ExternalData } = {
    s3: createS3Source(options.s3 ?? {}),
    https: createHttpsSource(options),
    http: createHttpsSource(options),
    file: createFileSource(),
  };
  const sourceOf = (uri: string): ExternalData => {
    const problem = datasetUriProblem(uri);
    const source = sources[uri.slice(0, uri.indexOf(':'))];
    if (problem === undefined && source) return source;
    throw new AnnealError(
      'InvalidInput',
      `"${uri.slice(0, 200)}" is no URI of a dataset; it must be ${problem ?? 's3://, https:// or file://'}.`,
    );
  };
  return {
    find: async (uri, signal) => await sourceOf(uri).find(uri, signal),
    fetch: async (object, place) => await sourceOf(place.source).fetch(object, place),
  };
}
