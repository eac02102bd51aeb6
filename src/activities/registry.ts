import { randomUUID } from 'node:crypto';
import { tmpdir } from 'node:os';
import type { ChampionInfo, SystemActivities } from '../core/activities.js';
import type { ArtifactStore } from '../core/artifact-store.js';
import type {
  AliasRepair,
  LaneOperation,
  LaneResult,
  LaneWork,
  RegisterOperation,
} from '../core/registry.js';
import { TAGS } from '../core/registry.js';
import { producerOf } from '../core/lineage.js';
import { buildOriginTags, buildProducerTags, describeOrigin, readLineageStep } from './model-origin.js';
import type { LaneTurn } from './alias-journal.js';
import { buildModelDescription } from './model-description.js';
import type { ActivityContext, Clock } from './ports/activity-context.js';
import type { ModelRegistry } from './ports/model-registry.js';
import { moveAlias, reconcileAliases, type ReconciledModel } from './registry-aliases.js';
import { loadModelFiles } from './registry-model-files.js';
import { withHeartbeat } from './tracking-context.js';

/** What {@link createRegistryActivities} is made of. */
export interface RegistryActivityDeps {
  readonly registry: ModelRegistry;
  readonly store: ArtifactStore;
  readonly context: () => ActivityContext;
  readonly clock: Pick<Clock, 'nowMs'>;
  /** Takes a sentence for the worker's log. */
  readonly log?: (message: string) => void;
  /** Directory for files on their way to the registry, one at a time. Default: the system's. */
  readonly scratchDir?: string;
  /** Base of Temporal's Web UI, without slash at the end. */
  readonly temporalUiUrl?: string;
}

/** Prefix of a version's tags with the metrics that its gate saw. */
const METRIC_PREFIX = 'gate.';
/** The part of {@link SystemActivities} that works on the model registry. */
export function createRegistryActivities(
  deps: RegistryActivityDeps,
): Pick<SystemActivities, 'runLaneOperation' | 'readChampion'> {
  return {
    runLaneOperation: (work) =>
      withHeartbeat(deps.context(), (signal) => runLaneOperation(deps, work, signal)),
    readChampion: (of) => withHeartbeat(deps.context(), (signal) => readChampion(deps, of, signal)),
  };
}

/** Whatever is asked, the aliases are looked at first: a late write is undone before anything builds on it. */
async function runLaneOperation(
  deps: RegistryActivityDeps,
  { modelName, operation, requestId, order }: LaneWork,
  signal: AbortSignal,
): Promise<LaneResult> {
  const { attempt = 1 } = deps.context();
  const turn = { modelName, requestId: requestId ?? randomUUID(), order, attempt };
  const model = await reconcileAliases(deps, turn, signal);
  const { repairs } = model;
  for (const repair of repairs) deps.log?.(describeRepair(modelName, repair));
  const result = await carryOut(deps, { turn, operation, model }, signal);
  return repairs.length === 0 ? result : { ...result, repairs };
}

async function carryOut(
  deps: RegistryActivityDeps,
  {
    turn,
    operation,
    model,
  }: { readonly turn: LaneTurn; readonly operation: LaneOperation; readonly model: ReconciledModel },
  signal: AbortSignal,
): Promise<LaneResult> {
  const { modelName } = turn;
  switch (operation.kind) {
    case 'register':
      return await register(deps, { modelName, operation }, signal);
    case 'reconcile':
      return { version: '' };
    case 'promote':
    case 'rollback':
    case 'demote':
      return await moveAlias(deps, { turn, operation, model }, signal);
  }
}

function describeRepair(modelName: string, { alias, version, found }: AliasRepair): string {
  const at = (place: string | null) => (place === null ? 'nowhere' : `version ${place}`);
  return `Alias "${alias}" of model "${modelName}" was found at ${at(found)}, moved there by a write that came late; it was put back to ${at(version)}.`;
}

async function register(
  deps: RegistryActivityDeps,
  { modelName, operation }: { readonly modelName: string; readonly operation: RegisterOperation },
  signal: AbortSignal,
): Promise<LaneResult> {
  const { registry, store, scratchDir = tmpdir(), temporalUiUrl } = deps;
  const { key, model, metrics, source } = operation;
  const files = await loadModelFiles({ store, scratchDir }, model);
  const gate = Object.entries(metrics).map(([name, value]) => [`${METRIC_PREFIX}${name}`, String(value)]);
  const producer = producerOf(model.uri);
  const made = producer && (await readLineageStep(store, producer));
  const tags = {
    ...operation.tags,
    ...Object.fromEntries(gate),
    [TAGS.digest]: model.digest,
    ...(producer && buildProducerTags(producer)),
    ...(made && buildOriginTags(made)),
  };
  const { namespace } = deps.context();
  const said = buildModelDescription(operation, {
    namespace,
    ...(temporalUiUrl === undefined ? {} : { temporalUiUrl }),
  });
  const description = [said, made ? describeOrigin(made) : ''].filter((text) => text !== '').join('\n\n');
  const registration = {
    ...{ modelName, key, files, metrics, tags },
    ...(description !== '' && { description }),
    ...(source === undefined ? {} : { source }),
    ...(made?.tracking && { madeBy: made.tracking }),
    ...(producer && { attemptName: producer.attemptName }),
  };
  const { version, modelId, notice } = await registry.register(registration, signal);
  return {
    version,
    ...(modelId === undefined ? {} : { modelId }),
    ...(notice === undefined ? {} : { notice }),
  };
}

/** What an alias points at, with the metrics that its gate saw; null where it is not set. */
export async function readChampion(
  { registry }: Pick<RegistryActivityDeps, 'registry'>,
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
