import { z } from 'zod';
import type { Api } from './api.js';
import { allPages, type Page, type PageRequest } from './paging.js';
import { createRunLogging, type RunLogging } from './run-logging.js';
import { runSchema, type Run, type RunStatus } from './run-schemas.js';
import type { CallOptions } from './transport.js';
import { toPairs, wireNothing, wirePageToken, type StringMap } from './wire.js';

/** A new run. */
export interface CreateRun {
  readonly experimentId: string;
  readonly runName?: string | undefined;
  /** Milliseconds since the epoch. */
  readonly startTime?: number | undefined;
  /** Put an idempotency tag here: it is the only way to find the run again after a lost answer. */
  readonly tags?: StringMap | undefined;
}

/** What may change on a run; absent fields stay. */
export interface UpdateRun {
  readonly runId: string;
  readonly status?: RunStatus | undefined;
  /** Milliseconds since the epoch; set it with every final status. */
  readonly endTime?: number | undefined;
  readonly runName?: string | undefined;
}

/** A search for runs. */
export interface SearchRuns extends PageRequest {
  readonly experimentIds: readonly string[];
  /** See `tagFilter`, `attributeFilter`, `allOf`. */
  readonly filter?: string | undefined;
  /** For example `attributes.start_time DESC`. */
  readonly orderBy?: readonly string[] | undefined;
  /** Default ACTIVE_ONLY. */
  readonly runViewType?: 'ACTIVE_ONLY' | 'DELETED_ONLY' | 'ALL' | undefined;
}

/** Calls on runs. */
export interface Runs extends RunLogging {
  /**
   * Makes a run, a new one each time: never repeated once it may have been executed. On an error with `doubt`,
   * search by the idempotency tag before creating again.
   */
  readonly create: (run: CreateRun, options?: CallOptions) => Promise<Run>;
  readonly update: (run: UpdateRun, options?: CallOptions) => Promise<void>;
  readonly get: (runId: string, options?: CallOptions) => Promise<Run>;
  /** One page, 1000 runs unless `maxResults` (at most 50 000) says otherwise. */
  readonly search: (request: SearchRuns, options?: CallOptions) => Promise<Page<Run>>;
  /** All pages of {@link Runs.search}, loaded as they are consumed. */
  readonly searchAll: (request: SearchRuns, options?: CallOptions) => AsyncGenerator<Run, void>;
}

/** Makes the calls on runs. */
export function createRuns(api: Api): Runs {
  const get: Runs['get'] = async (runId, options) => {
    const { run } = await api.call({
      ...options,
      method: 'GET',
      path: 'runs/get',
      query: { runId },
      schema: z.object({ run: runSchema }),
    });
    return run;
  };
  const search: Runs['search'] = (request, options) =>
    api.call({
      ...options,
      method: 'POST',
      path: 'runs/search',
      body: { ...request },
      schema: runPageSchema,
    });
  return {
    ...createRunLogging(api, get),
    get,
    search,
    searchAll: allPages(search),
    create: async ({ tags, ...run }, options) => {
      const answer = await api.call({
        ...options,
        method: 'POST',
        path: 'runs/create',
        body: { ...run, tags: toPairs(tags) },
        schema: z.object({ run: runSchema }),
        idempotent: false,
      });
      return answer.run;
    },
    update: (run, options) =>
      api.call({ ...options, method: 'POST', path: 'runs/update', body: { ...run }, schema: wireNothing }),
  };
}

const runPageSchema = z
  .object({ runs: z.array(runSchema).default([]), nextPageToken: wirePageToken })
  .transform(({ runs, nextPageToken }) => ({ items: runs, nextPageToken }));
