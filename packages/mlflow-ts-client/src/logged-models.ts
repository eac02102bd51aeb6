import { z } from 'zod';
import type { Api } from './api.js';
import { invalidArgument } from './errors.js';
import { allPages, type Page, type PageRequest } from './paging.js';
import { metricSchema } from './run-schemas.js';
import type { CallOptions } from './transport.js';
import {
  toPairs,
  wireId,
  wireInteger,
  wireNothing,
  wirePageToken,
  wirePairs,
  type StringMap,
} from './wire.js';

const loggedModelSchema = z.object({
  info: z.object({
    modelId: z.string(),
    experimentId: wireId,
    name: z.string().optional(),
    artifactUri: z.string(),
    status: z.string().default('LOGGED_MODEL_STATUS_UNSPECIFIED'),
    statusMessage: z.string().optional(),
    modelType: z.string().optional(),
    sourceRunId: z.string().optional(),
    creationTimestampMs: wireInteger.optional(),
    lastUpdatedTimestampMs: wireInteger.optional(),
    tags: wirePairs,
    registrations: z.array(z.object({ name: z.string(), version: wireId })).default([]),
  }),
  data: z.object({ params: wirePairs, metrics: z.array(metricSchema).default([]) }).prefault({}),
});

/** A LoggedModel; its files lie under `info.artifactUri`. */
export type LoggedModel = z.infer<typeof loggedModelSchema>;

/** A new LoggedModel. */
export interface CreateLoggedModel {
  readonly experimentId: string;
  readonly name?: string | undefined;
  readonly modelType?: string | undefined;
  readonly sourceRunId?: string | undefined;
  readonly params?: StringMap | undefined;
  /** Put an idempotency tag here. */
  readonly tags?: StringMap | undefined;
}

/** A search for LoggedModels. */
export interface SearchLoggedModels extends PageRequest {
  readonly experimentIds: readonly string[];
  readonly filter?: string | undefined;
  readonly orderBy?:
    readonly { readonly fieldName: string; readonly ascending?: boolean | undefined }[] | undefined;
}

/** How an upload ended. */
export interface FinalizeLoggedModel {
  readonly modelId: string;
  readonly status: 'LOGGED_MODEL_READY' | 'LOGGED_MODEL_UPLOAD_FAILED';
}

/** Tags of a LoggedModel. */
export interface LoggedModelTags {
  readonly modelId: string;
  readonly tags: StringMap;
}

/** Calls on LoggedModels (MLflow 3). */
export interface LoggedModels {
  /** Makes a pending model, a new one each time: never repeated once it may have been executed. */
  readonly create: (model: CreateLoggedModel, options?: CallOptions) => Promise<LoggedModel>;
  readonly get: (modelId: string, options?: CallOptions) => Promise<LoggedModel>;
  /** One page, 50 models at most. */
  readonly search: (request: SearchLoggedModels, options?: CallOptions) => Promise<Page<LoggedModel>>;
  /** All pages of {@link LoggedModels.search}. */
  readonly searchAll: (
    request: SearchLoggedModels,
    options?: CallOptions,
  ) => AsyncGenerator<LoggedModel, void>;
  /** Call it after the files are uploaded. */
  readonly finalize: (end: FinalizeLoggedModel, options?: CallOptions) => Promise<LoggedModel>;
  readonly setTags: (tags: LoggedModelTags, options?: CallOptions) => Promise<void>;
}

/** Makes the calls on LoggedModels. */
export function createLoggedModels(api: Api): LoggedModels {
  const search: LoggedModels['search'] = (request, options) =>
    api.call({
      ...options,
      method: 'POST',
      path: 'logged-models/search',
      body: { ...request },
      schema: z
        .object({ models: z.array(loggedModelSchema).default([]), nextPageToken: wirePageToken })
        .transform(({ models, nextPageToken }) => ({ items: models, nextPageToken })),
    });
  return {
    search,
    searchAll: allPages(search),
    create: async ({ params, tags, ...model }, options) => {
      const answer = await api.call({
        ...options,
        method: 'POST',
        path: 'logged-models',
        body: { ...model, params: toPairs(params), tags: toPairs(tags) },
        schema: answerSchema,
        idempotent: false,
      });
      return answer.model;
    },
    get: async (modelId, options) => {
      const answer = await api.call({
        ...options,
        method: 'GET',
        path: modelPath(modelId),
        schema: answerSchema,
      });
      return answer.model;
    },
    finalize: async ({ modelId, status }, options) => {
      const answer = await api.call({
        ...options,
        method: 'PATCH',
        path: modelPath(modelId),
        // The body has to name the model again.
        body: { modelId, status },
        schema: answerSchema,
      });
      return answer.model;
    },
    setTags: ({ modelId, tags }, options) =>
      api.call({
        ...options,
        method: 'PATCH',
        path: `${modelPath(modelId)}/tags`,
        body: { modelId, tags: toPairs(tags) },
        schema: wireNothing,
      }),
  };
}

const answerSchema = z.object({ model: loggedModelSchema });

function modelPath(modelId: string): string {
  if (!/^[A-Za-z0-9_-]+$/.test(modelId)) {
    throw invalidArgument(
      `${JSON.stringify(modelId)} is not the id of a LoggedModel, which looks like "m-0123abcd".`,
    );
  }
  return `logged-models/${modelId}`;
}
