import { CLIENT_ERROR_CODES, MlflowError } from './errors.js';
import type { CallOptions } from './transport.js';

/** One page of a search; `nextPageToken` is absent on the last. */
export interface Page<T> {
  readonly items: readonly T[];
  readonly nextPageToken: string | undefined;
}

/** What every search takes. */
export interface PageRequest {
  readonly maxResults?: number | undefined;
  readonly pageToken?: string | undefined;
}

/** Makes the call that walks all pages of a search. */
export function allPages<R extends PageRequest, T>(
  search: (request: R, options?: CallOptions) => Promise<Page<T>>,
): (request: R, options?: CallOptions) => AsyncGenerator<T, void> {
  return (request, options) =>
    iteratePages((pageToken) => search({ ...request, pageToken }, options), request.pageToken);
}

/** Walks all pages. A server that gives the same token twice would be asked for ever, so that is an error. */
async function* iteratePages<T>(
  load: (pageToken: string | undefined) => Promise<Page<T>>,
  start?: string,
): AsyncGenerator<T, void> {
  let token = start;
  do {
    const page = await load(token);
    yield* page.items;
    if (page.nextPageToken !== undefined && page.nextPageToken === token) {
      throw new MlflowError({
        code: CLIENT_ERROR_CODES.BAD_RESPONSE,
        message: `MLflow repeated the page token "${token}", so the search would never end. Check what stands between this client and the server.`,
      });
    }
    token = page.nextPageToken;
  } while (token !== undefined);
}
