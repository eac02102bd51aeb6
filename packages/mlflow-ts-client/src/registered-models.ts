import { z } from 'zod';
import { absentIsDone, type Api } from './api.js';
import { CLIENT_ERROR_CODES, isMlflowError } from './errors.js';
import { modelVersionSchema, type ModelVersion } from './model-versions.js';
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

const registeredModelSchema = z.object({
  name: z.string(),
  description: z.string().optional(),
  creationTimestamp: wireInteger.optional(),
  lastUpdatedTimestamp: wireInteger.optional(),
  tags: wirePairs,
  aliases: z.array(z.object({ alias: z.string(), version: wireId })).default([]),
});

/** A name in the registry with its aliases; times are milliseconds since the epoch. */
export type RegisteredModel = z.infer<typeof registeredModelSchema>;

/** A new name in the registry. */
export interface CreateRegisteredModel {
  readonly name: string;
  readonly description?: string | undefined;
  readonly tags?: StringMap | undefined;
}

/** A search for registered models. */
export interface SearchRegisteredModels extends PageRequest {
  readonly filter?: string | undefined;
  readonly orderBy?: readonly string[] | undefined;
}

/** Which alias of which model; neither `latest` nor `v1`. */
export interface AliasOf {
  readonly name: string;
  readonly alias: string;
}

/** A tag of a registered model. */
export interface RegisteredModelTag {
  readonly name: string;
  readonly key: string;
  readonly value: string;
}

/** Calls on registered models and their aliases. */
export interface RegisteredModels {
  /** Throws RESOURCE_ALREADY_EXISTS. */
  readonly create: (model: CreateRegisteredModel, options?: CallOptions) => Promise<RegisteredModel>;
  /** Creates the name unless it is there, whoever creates it first; tags and description count only at creation. */
  readonly ensure: (model: CreateRegisteredModel, options?: CallOptions) => Promise<RegisteredModel>;
  /** Throws RESOURCE_DOES_NOT_EXIST. */
  readonly get: (name: string, options?: CallOptions) => Promise<RegisteredModel>;
  readonly search: (request: SearchRegisteredModels, options?: CallOptions) => Promise<Page<RegisteredModel>>;
  /** All pages of {@link RegisteredModels.search}. */
  readonly searchAll: (
    request: SearchRegisteredModels,
    options?: CallOptions,
  ) => AsyncGenerator<RegisteredModel, void>;
  readonly setTag: (tag: RegisteredModelTag, options?: CallOptions) => Promise<void>;
  readonly deleteTag: (tag: Omit<RegisteredModelTag, 'value'>, options?: CallOptions) => Promise<void>;
  /** Sets or moves an alias. MLflow has no compare-and-set: read, compare and set in one serialized place. */
  readonly setAlias: (
    alias: AliasOf & { readonly version: string },
    options?: AliasWriteOptions,
  ) => Promise<void>;
  /** The version that an alias names; undefined when the alias is not set. Throws when the model is unknown. */
  readonly findAlias: (alias: AliasOf, options?: CallOptions) => Promise<ModelVersion | undefined>;
  readonly deleteAlias: (alias: AliasOf, options?: AliasWriteOptions) => Promise<void>;
}

/** How an alias is written. */
export interface AliasWriteOptions extends CallOptions {
  /**
   * Not sent again by itself once it may have been executed; the error then has `doubt`. A request whose answer was lost can be executed
   * later, after a newer one: a caller that keeps the order of writes wants to know. Default false.
   */
  readonly once?: boolean | undefined;
}

/** Makes the calls on registered models. */
export function createRegisteredModels(api: Api): RegisteredModels {
  const get: RegisteredModels['get'] = async (name, options) => {
    const answer = await api.call({
      ...options,
      method: 'GET',
      path: 'registered-models/get',
      query: { name },
      schema: answerSchema,
    });
    return answer.registeredModel;
  };
  const create: RegisteredModels['create'] = async ({ name, description, tags }, options) => {
    const body = { name, description, tags: toPairs(tags) };
    const answer = await api.call({
      ...options,
      method: 'POST',
      path: 'registered-models/create',
      body,
      schema: answerSchema,
    });
    return answer.registeredModel;
  };
  const search: RegisteredModels['search'] = (request, options) =>
    api.call({
      ...options,
      method: 'GET',
      path: 'registered-models/search',
      query: { ...request },
      schema: pageSchema,
    });
  return {
    get,
    create,
    search,
    searchAll: allPages(search),
    ensure: async (model, options) => {
      try {
        return await create(model, options);
      } catch (error) {
        if (
          !isMlflowError(error, 'RESOURCE_ALREADY_EXISTS') &&
          !isMlflowError(error, CLIENT_ERROR_CODES.WRITE_CONFLICT)
        )
          throw error;
        return get(model.name, options);
      }
    },
    ...createTags(api),
    ...createAliases(api),
  };
}

function createTags(api: Api): Pick<RegisteredModels, 'setTag' | 'deleteTag'> {
  return {
    setTag: (tag, options) =>
      api.call({
        ...options,
        method: 'POST',
        path: 'registered-models/set-tag',
        body: { ...tag },
        schema: wireNothing,
      }),
    deleteTag: (tag, options) =>
      api.call<void>({
        ...options,
        method: 'DELETE',
        path: 'registered-models/delete-tag',
        body: { ...tag },
        schema: wireNothing,
        settle: absentIsDone,
      }),
  };
}

function createAliases(api: Api): Pick<RegisteredModels, 'setAlias' | 'findAlias' | 'deleteAlias'> {
  const path = 'registered-models/alias';
  return {
    setAlias: (alias, { once = false, ...options } = {}) =>
      api.call({
        ...options,
        method: 'POST',
        path,
        body: { ...alias },
        schema: wireNothing,
        idempotent: !once,
      }),
    findAlias: async ({ name, alias }, options) => {
      try {
        const answer = await api.call({
          ...options,
          method: 'GET',
          path,
          query: { name, alias },
          schema: z.object({ modelVersion: modelVersionSchema }),
        });
        return answer.modelVersion;
      } catch (error) {
        // MLflow calls an alias that is not set an invalid parameter, like a malformed one.
        if (isMlflowError(error, 'INVALID_PARAMETER_VALUE') && /alias.*not found/i.test(error.message))
          return undefined;
        throw error;
      }
    },
    deleteAlias: (alias, { once = false, ...options } = {}) =>
      api.call<void>({
        ...options,
        method: 'DELETE',
        path,
        body: { ...alias },
        schema: wireNothing,
        idempotent: !once,
        settle: absentIsDone,
      }),
  };
}

const answerSchema = z.object({ registeredModel: registeredModelSchema });

const pageSchema = z
  .object({ registeredModels: z.array(registeredModelSchema).default([]), nextPageToken: wirePageToken })
  .transform(({ registeredModels, nextPageToken }) => ({ items: registeredModels, nextPageToken }));
