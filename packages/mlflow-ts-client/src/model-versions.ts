import { z } from 'zod';
import { absentIsDone, type Api } from './api.js';
import { allPages, type Page, type PageRequest } from './paging.js';
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

/** Text where MLflow writes "" for "none". */
const wireOptionalText = z
  .string()
  .optional()
  .transform((text) => (text === '' ? undefined : text));

/** A version as the registry answers it. */
export const modelVersionSchema = z
  .object({
    name: z.string(),
    version: wireId,
    status: z.string().default('READY'),
    statusMessage: z.string().optional(),
    source: z.string().optional(),
    runId: wireOptionalText,
    modelId: wireOptionalText,
    description: z.string().optional(),
    creationTimestamp: wireInteger.optional(),
    lastUpdatedTimestamp: wireInteger.optional(),
    tags: wirePairs,
    aliases: z.array(z.string()).default([]),
  })
  // Seen with 3.17.2 on SQL stores: model_id is checked at creation but not answered, only the source names it.
  .transform((version) => ({ ...version, modelId: version.modelId ?? readModelId(version.source) }));

/** A version of a registered model; `version` is a number as text, as on the wire. */
export type ModelVersion = z.infer<typeof modelVersionSchema>;

/** A new version. */
export interface CreateModelVersion {
  readonly name: string;
  /** `models:/<model id>`, with the same id as `modelId` (else refused) and with `runId`, shows the source model in MLflow's UI. */
  readonly source: string;
  readonly runId?: string | undefined;
  readonly modelId?: string | undefined;
  readonly description?: string | undefined;
  /** Put an idempotency tag here: version and tags are written together. */
  readonly tags?: StringMap | undefined;
}

/** Which version. */
export interface VersionOf {
  readonly name: string;
  readonly version: string;
}

/** A search for versions. */
export interface SearchModelVersions extends PageRequest {
  /** For example `` allOf(attributeFilter('name', n), tagFilter('k', v)) ``. */
  readonly filter?: string | undefined;
  /** `name`, `version_number`, `creation_timestamp` or `last_updated_timestamp`, with ASC or DESC. */
  readonly orderBy?: readonly string[] | undefined;
}

/** Calls on model versions. */
export interface ModelVersions {
  /** Makes a version, a new one each time: never repeated once it may have been executed. */
  readonly create: (version: CreateModelVersion, options?: CallOptions) => Promise<ModelVersion>;
  /** Throws RESOURCE_DOES_NOT_EXIST. */
  readonly get: (version: VersionOf, options?: CallOptions) => Promise<ModelVersion>;
  readonly search: (request: SearchModelVersions, options?: CallOptions) => Promise<Page<ModelVersion>>;
  /** All pages of {@link ModelVersions.search}. */
  readonly searchAll: (
    request: SearchModelVersions,
    options?: CallOptions,
  ) => AsyncGenerator<ModelVersion, void>;
  readonly update: (
    version: VersionOf & { readonly description: string },
    options?: CallOptions,
  ) => Promise<ModelVersion>;
  readonly delete: (version: VersionOf, options?: CallOptions) => Promise<void>;
  readonly setTag: (
    tag: VersionOf & { readonly key: string; readonly value: string },
    options?: CallOptions,
  ) => Promise<void>;
}

/** Makes the calls on model versions. */
export function createModelVersions(api: Api): ModelVersions {
  const search: ModelVersions['search'] = (request, options) =>
    api.call({
      ...options,
      method: 'GET',
      path: 'model-versions/search',
      query: { ...request },
      schema: pageSchema,
    });
  return {
    search,
    searchAll: allPages(search),
    create: async ({ tags, ...version }, options) => {
      const answer = await api.call({
        ...options,
        method: 'POST',
        path: 'model-versions/create',
        body: { ...version, tags: toPairs(tags) },
        schema: answerSchema,
        idempotent: false,
      });
      return answer.modelVersion;
    },
    get: async ({ name, version }, options) => {
      const query = { name, version };
      const answer = await api.call({
        ...options,
        method: 'GET',
        path: 'model-versions/get',
        query,
        schema: answerSchema,
      });
      return answer.modelVersion;
    },
    ...createVersionChanges(api),
  };
}

function createVersionChanges(api: Api): Pick<ModelVersions, 'update' | 'delete' | 'setTag'> {
  return {
    update: async ({ name, version, description }, options) => {
      const body = { name, version, description };
      const answer = await api.call({
        ...options,
        method: 'PATCH',
        path: 'model-versions/update',
        body,
        schema: answerSchema,
      });
      return answer.modelVersion;
    },
    delete: ({ name, version }, options) =>
      api.call<void>({
        ...options,
        method: 'DELETE',
        path: 'model-versions/delete',
        body: { name, version },
        schema: wireNothing,
        settle: absentIsDone,
      }),
    setTag: ({ name, version, key, value }, options) => {
      const body = { name, version, key, value };
      return api.call({
        ...options,
        method: 'POST',
        path: 'model-versions/set-tag',
        body,
        schema: wireNothing,
      });
    },
  };
}

const answerSchema = z.object({ modelVersion: modelVersionSchema });

const pageSchema = z
  .object({ modelVersions: z.array(modelVersionSchema).default([]), nextPageToken: wirePageToken })
  .transform(({ modelVersions, nextPageToken }) => ({ items: modelVersions, nextPageToken }));

function readModelId(source: string | undefined): string | undefined {
  return source === undefined ? undefined : /^models:\/(m-[0-9a-f]+)$/.exec(source)?.[1];
}
