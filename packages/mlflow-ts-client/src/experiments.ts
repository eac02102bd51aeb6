import { z } from 'zod';
import type { Api } from './api.js';
import { CLIENT_ERROR_CODES, isMlflowError, MlflowError } from './errors.js';
import type { CallOptions } from './transport.js';
import { toPairs, wireId, wireInteger, wireNothing, wirePairs, type StringMap } from './wire.js';

const experimentSchema = z.object({
  experimentId: wireId,
  name: z.string(),
  artifactLocation: z.string().optional(),
  /** `active` or `deleted`; the name of a deleted experiment stays taken. */
  lifecycleStage: z.string().default('active'),
  /** Milliseconds since the epoch. */
  creationTime: wireInteger.optional(),
  lastUpdateTime: wireInteger.optional(),
  tags: wirePairs,
});

/** An experiment; times are milliseconds since the epoch, `lifecycleStage` is `active` or `deleted`. */
export type Experiment = z.infer<typeof experimentSchema>;

/** A new experiment. */
export interface CreateExperiment {
  /** 500 characters at most. */
  readonly name: string;
  /** Refused by servers with workspaces. */
  readonly artifactLocation?: string | undefined;
  readonly tags?: StringMap | undefined;
}

/** A tag of an experiment. */
export interface ExperimentTag {
  readonly experimentId: string;
  readonly key: string;
  readonly value: string;
}

/** Calls on experiments. */
export interface Experiments {
  /** The experiment of that name, a deleted one too; undefined when there is none. */
  readonly findByName: (name: string, options?: CallOptions) => Promise<Experiment | undefined>;
  readonly get: (experimentId: string, options?: CallOptions) => Promise<Experiment>;
  /** Returns the new id. Throws RESOURCE_ALREADY_EXISTS, also when a deleted experiment holds the name. */
  readonly create: (experiment: CreateExperiment, options?: CallOptions) => Promise<string>;
  /**
   * The id of the experiment of that name, created if need be, whoever creates it first. `tags` are set only at
   * creation. Throws RESOURCE_ALREADY_EXISTS when a deleted experiment holds the name.
   */
  readonly ensure: (experiment: CreateExperiment, options?: CallOptions) => Promise<string>;
  readonly setTag: (tag: ExperimentTag, options?: CallOptions) => Promise<void>;
}

/** Makes the calls on experiments. */
export function createExperiments(api: Api): Experiments {
  const findByName: Experiments['findByName'] = async (experimentName, options) => {
    try {
      const { experiment } = await api.call({
        ...options,
        method: 'GET',
        path: 'experiments/get-by-name',
        query: { experimentName },
        schema: z.object({ experiment: experimentSchema }),
      });
      return experiment;
    } catch (error) {
      if (isMlflowError(error, 'RESOURCE_DOES_NOT_EXIST')) return undefined;
      throw error;
    }
  };
  const create: Experiments['create'] = async ({ name, artifactLocation, tags }, options) => {
    const answer = await api.call({
      ...options,
      method: 'POST',
      path: 'experiments/create',
      body: { name, artifactLocation, tags: toPairs(tags) },
      schema: z.object({ experimentId: wireId }),
    });
    return answer.experimentId;
  };
  return {
    findByName,
    create,
    ensure: (experiment, options) => ensureExperiment({ findByName, create }, experiment, options),
    get: async (experimentId, options) => {
      const { experiment } = await api.call({
        ...options,
        method: 'GET',
        path: 'experiments/get',
        query: { experimentId },
        schema: z.object({ experiment: experimentSchema }),
      });
      return experiment;
    },
    setTag: async ({ experimentId, key, value }, options) => {
      await api.call({
        ...options,
        method: 'POST',
        path: 'experiments/set-experiment-tag',
        body: { experimentId, key, value },
        schema: wireNothing,
      });
    },
  };
}

function activeId(experiment: Experiment): string {
  if (experiment.lifecycleStage !== 'deleted') return experiment.experimentId;
  throw new MlflowError({
    code: 'RESOURCE_ALREADY_EXISTS',
    message: `The experiment "${experiment.name}" is deleted but still holds its name (id ${experiment.experimentId}). Restore it ("mlflow experiments restore -x ${experiment.experimentId}") or choose another name.`,
  });
}

async function ensureExperiment(
  { findByName, create }: Pick<Experiments, 'findByName' | 'create'>,
  experiment: CreateExperiment,
  options: CallOptions | undefined,
): Promise<string> {
  const found = await findByName(experiment.name, options);
  if (found !== undefined) return activeId(found);
  try {
    return await create(experiment, options);
  } catch (error) {
    const taken = isMlflowError(error, 'RESOURCE_ALREADY_EXISTS');
    if (!taken && !isMlflowError(error, CLIENT_ERROR_CODES.WRITE_CONFLICT)) throw error;
    const other = await findByName(experiment.name, options);
    if (other === undefined) throw error;
    return activeId(other);
  }
}
