import { tmpdir } from 'node:os';
import type { ChampionInfo, SystemActivities } from '../core/activities.js';
import type { ArtifactStore } from '../core/artifact-store.js';
import { AnnealError } from '../core/failures.js';
import type { LaneOperation, LaneResult } from '../core/registry.js';
import { TAGS } from '../core/registry.js';
import type { ActivityContext } from './ports/activity-context.js';
import type { ModelRegistry } from './ports/model-registry.js';
import { loadModelFiles } from './registry-model-files.js';
import { withHeartbeat } from './tracking-context.js';

/** What {@link createRegistryActivities} is made of. */
export interface RegistryActivityDeps {
  readonly registry: ModelRegistry;
  readonly store: ArtifactStore;
  readonly context: () => ActivityContext;
  /** Directory for files on their way to the registry, one at a time. Default: the system's. */
  readonly scratchDir?: string;
}

/** Prefix of a version's tags with the metrics that its gate saw. */
const METRIC_PREFIX = 'gate.';
/** Prefix of a version's tags with the newest promotion of an alias to it. */
const PROMOTION_PREFIX = 'anneal.promotion.';
/** Written as replaced where an alias was set for the first time. */
const NOTHING = 'none';

/** The part of {@link SystemActivities} that works on the model registry. */
export function createRegistryActivities(
  deps: RegistryActivityDeps,
): Pick<SystemActivities, 'runLaneOperation' | 'readChampion'> {
  return {
    runLaneOperation: ({ modelName, operation }) =>
      withHeartbeat(deps.context(), (signal) =>
        operation.kind === 'register'
          ? register(deps, { modelName, operation }, signal)
          : promote(deps, { modelName, operation }, signal),
      ),
    readChampion: (of) => withHeartbeat(deps.context(), (signal) => readChampion(deps, of, signal)),
  };
}

async function register(
  { registry, store, scratchDir = tmpdir() }: RegistryActivityDeps,
  {
    modelName,
    operation,
  }: { readonly modelName: string; readonly operation: Extract<LaneOperation, { kind: 'register' }> },
  signal: AbortSignal,
): Promise<LaneResult> {
  const { key, model, metrics, source } = operation;
  const files = await loadModelFiles({ store, scratchDir }, model);
  const gate = Object.entries(metrics).map(([name, value]) => [`${METRIC_PREFIX}${name}`, String(value)]);
  const tags = { ...operation.tags, ...Object.fromEntries(gate), [TAGS.digest]: model.digest };
  const registration = { modelName, key, files, metrics, tags, ...(source === undefined ? {} : { source }) };
  const { version, modelId } = await registry.register(registration, signal);
  return { version, ...(modelId === undefined ? {} : { modelId }) };
}

/**
 * Moves an alias. What it replaces is written on the new version before the move, so that a repeated promotion, which finds the alias
 * moved, still knows it; `previous-<alias>` names it too. The request is written on it after the move, so that one that is repeated
 * late does not undo a newer promotion.
 */
async function promote(
  { registry }: RegistryActivityDeps,
  {
    modelName,
    operation,
  }: { readonly modelName: string; readonly operation: Extract<LaneOperation, { kind: 'promote' }> },
  signal: AbortSignal,
): Promise<LaneResult> {
  const { alias, version, by, requestId } = operation;
  const target = await registry.findVersion({ modelName, version }, signal);
  if (target === null) {
    throw new AnnealError(
      'InvalidInput',
      `Model "${modelName}" has no version ${version}, so alias "${alias}" cannot point at it. Promote a version that is registered.`,
    );
  }
  const replacedTag = `${TAGS.replaced}.${alias}`;
  const requestTag = `${PROMOTION_PREFIX}${alias}`;
  // Carried out before: something newer may have moved the alias since, and keeps it.
  if (requestId !== undefined && target.tags[requestTag] === requestId)
    return buildPromoted(target, target.tags[replacedTag]);
  const markCarriedOut = async () => {
    if (requestId !== undefined)
      await registry.setTags({ modelName, version, tags: { [requestTag]: requestId } }, signal);
  };
  const current = await registry.findByAlias({ modelName, alias }, signal);
  if (current?.version === version) {
    await markCarriedOut();
    return buildPromoted(target, target.tags[replacedTag]);
  }
  const replaced = current?.version ?? NOTHING;
  const tags = { [replacedTag]: replaced, [`anneal.promoted_by.${alias}`]: by };
  await registry.setTags({ modelName, version, tags }, signal);
  if (current !== null)
    await registry.setAlias({ modelName, alias: `previous-${alias}`, version: current.version }, signal);
  await registry.setAlias({ modelName, alias, version }, signal);
  const now = await registry.findByAlias({ modelName, alias }, signal);
  if (now?.version !== version) {
    const found = now === null ? 'it is not set' : `it points at version ${now.version}`;
    throw new AnnealError(
      'RegistrationFailed',
      `Alias "${alias}" of model "${modelName}" was set to version ${version}, but ${found}. Something else moves it at the same time.`,
    );
  }
  await markCarriedOut();
  return buildPromoted(target, replaced);
}

function buildPromoted(
  { version, modelId }: { readonly version: string; readonly modelId?: string },
  replaced: string | undefined,
): LaneResult {
  const before = replaced === undefined || replaced === NOTHING ? {} : { replaced };
  return { version, ...(modelId === undefined ? {} : { modelId }), ...before };
}

async function readChampion(
  { registry }: RegistryActivityDeps,
  of: { readonly modelName: string; readonly alias: string },
  signal: AbortSignal,
): Promise<ChampionInfo | null> {
  const champion = await registry.findByAlias(of, signal);
  if (champion === null) return null;
  const { version, tags } = champion;
  const metrics = Object.entries(tags).flatMap(([name, value]): [string, number][] => {
    const number = value.trim() === '' ? NaN : Number(value);
    return name.startsWith(METRIC_PREFIX) && !Number.isNaN(number)
      ? [[name.slice(METRIC_PREFIX.length), number]]
      : [];
  });
  const digest = tags[TAGS.digest];
  return { version, metrics: Object.fromEntries(metrics), ...(digest === undefined ? {} : { digest }) };
}
