import {
  pushVersion,
  readMoves,
  reconcileAlias,
  rollbackTargets,
  type AliasMove,
  type AliasState,
  type JournaledMove,
} from '../core/alias-moves.js';
import { AnnealError } from '../core/failures.js';
import { TAGS, type AliasOperation, type AliasRepair, type LaneResult } from '../core/registry.js';
import {
  forgetOldMoves,
  mark,
  pointAlias,
  writeMove,
  type AliasDeps,
  type AliasWork,
  type LaneTurn,
} from './alias-journal.js';
import type { ModelRegistry, RegisteredVersion } from './ports/model-registry.js';

/** A model's aliases as they are after {@link reconcileAliases}. */
export interface ReconciledModel {
  readonly aliases: { readonly [alias: string]: string };
  readonly moves: ReadonlyMap<string, readonly JournaledMove[]>;
  readonly repairs: readonly AliasRepair[];
}

/** Written as replaced where an alias was set for the first time. */
const NOTHING = 'none';

/**
 * Brings every alias that the model's journal knows in line with it: settles moves of which nothing was heard, undoes late writes of
 * Anneal's own, and takes over what others moved. Each of them is recorded.
 */
export async function reconcileAliases(
  deps: AliasDeps,
  turn: LaneTurn,
  signal: AbortSignal,
): Promise<ReconciledModel> {
  const model = await deps.registry.readModel(turn.modelName, signal);
  if (model === null) return { aliases: {}, moves: new Map(), repairs: [] };
  const repairs: AliasRepair[] = [];
  let changed = false;
  for (const [alias, moves] of readMoves(model.tags)) {
    const found = model.aliases[alias] ?? null;
    const made = await reconcileOne(deps, { turn, alias, moves, found }, signal);
    changed ||= made.changed;
    if (made.repair !== undefined) repairs.push(made.repair);
  }
  const now = changed ? ((await deps.registry.readModel(turn.modelName, signal)) ?? model) : model;
  return { aliases: now.aliases, moves: readMoves(now.tags), repairs };
}

async function reconcileOne(
  deps: AliasDeps,
  {
    turn,
    alias,
    moves,
    found,
  }: {
    readonly turn: LaneTurn;
    readonly alias: string;
    readonly moves: readonly JournaledMove[];
    readonly found: string | null;
  },
  signal: AbortSignal,
): Promise<{ readonly changed: boolean; readonly repair?: AliasRepair }> {
  const nowMs = deps.clock.nowMs();
  const work = { ...deps, turn, signal };
  const { settle, newest, finding } = reconcileAlias(moves, found, { ownRequestId: turn.requestId, nowMs });
  for (const { move, as } of settle) {
    await mark(work, { move, as: 'doubt' });
    await mark(work, { move, as });
  }
  if (newest === undefined || finding === 'as-recorded') return { changed: settle.length > 0 };
  const known = {
    alias,
    order: orderOf(turn, moves),
    requestId: `reconcile ${turn.requestId}`,
    replaced: found,
  };
  const common = { ...known, atMs: nowMs, base: newest.order };
  if (finding === 'outside') {
    const stack = found === null ? newest.stack : pushVersion(newest.stack, found);
    const by = 'outside Anneal';
    await writeMove(work, {
      ...common,
      kind: 'outside',
      version: found,
      replaced: newest.version,
      stack,
      by,
    });
    return { changed: true };
  }
  const { version, stack } = newest;
  const repair: AliasMove = { ...common, kind: 'repair', version, stack, by: 'lane' };
  await writeMove(work, repair);
  await pointAlias(work, repair);
  return { changed: true, repair: { alias, version, found } };
}

/** Carries out one move of an alias, once: a request that the journal knows as done is answered from it, whatever came after. */
export async function moveAlias(
  deps: AliasDeps,
  {
    turn,
    operation,
    model,
  }: { readonly turn: LaneTurn; readonly operation: AliasOperation; readonly model: ReconciledModel },
  signal: AbortSignal,
): Promise<LaneResult> {
  const { modelName, requestId } = turn;
  const { alias, by } = operation;
  const work = { ...deps, turn, signal };
  const moves = model.moves.get(alias) ?? [];
  const known = moves.find(
    (move) => move.requestId === requestId && move.kind === operation.kind && !move.void,
  );
  if (known?.done) return toResult(known);
  const newest = moves.filter((move) => move.done).at(-1);
  const order = known?.order ?? orderOf(turn, moves) + 1;
  if (newest !== undefined && order <= newest.order)
    throw new AnnealError(
      'RegistrationFailed',
      `Alias "${alias}" of model "${modelName}" was moved by a later request meanwhile, so this one is not carried out. Look at the alias and ask again.`,
    );
  const found = model.aliases[alias] ?? null;
  const state: AliasState = newest
    ? { current: newest.version, stack: newest.stack }
    : { current: found, stack: found === null ? [] : [found] };
  const target = known ?? (await decideTarget(deps, { modelName, operation, state }, signal));
  const move: AliasMove = known ?? {
    ...{ order, requestId, alias, kind: operation.kind, by, atMs: deps.clock.nowMs() },
    ...{ version: target.version, stack: target.stack, replaced: target.replaced },
    ...(newest === undefined ? {} : { base: newest.order }),
  };
  if (turn.attempt > 1) await mark(work, { move, as: 'doubt' });
  if (known === undefined) await writeMove(work, move);
  await tellVersion(work, move);
  const doubtful = await pointAlias(work, move);
  await forgetOldMoves(work, moves);
  return { ...toResult(move), ...(doubtful || turn.attempt > 1 ? { doubtful: true } : {}) };
}

type Target = Pick<AliasMove, 'version' | 'stack' | 'replaced'>;

async function decideTarget(
  { registry }: AliasDeps,
  {
    modelName,
    operation,
    state,
  }: { readonly modelName: string; readonly operation: AliasOperation; readonly state: AliasState },
  signal: AbortSignal,
): Promise<Target> {
  const { alias } = operation;
  const { current, stack } = state;
  switch (operation.kind) {
    case 'promote': {
      const { version } = operation;
      await requireVersion(registry, { modelName, version, alias }, signal);
      const replaced = current === version ? (stack.at(-2) ?? null) : current;
      return { version, stack: pushVersion(stack, version), replaced };
    }
    case 'rollback':
      for (const left of rollbackTargets(state)) {
        const version = left.at(-1);
        // A version may have been deleted since.
        if (version !== undefined && (await registry.findVersion({ modelName, version }, signal)) !== null)
          return { version, stack: left, replaced: current };
      }
      throw new AnnealError(
        'InvalidInput',
        `Alias "${alias}" of model "${modelName}" ${current === null ? 'is not set' : `points at version ${current}`} and remembers no version before. Promote a version, or remove the alias with: anneal demote`,
      );
    case 'demote':
      if (current === null)
        throw new AnnealError(
          'InvalidInput',
          `Alias "${alias}" of model "${modelName}" is not set, so there is nothing to demote. See its aliases in MLflow.`,
        );
      return { version: null, stack, replaced: current };
  }
}

async function requireVersion(
  registry: ModelRegistry,
  {
    modelName,
    version,
    alias,
  }: { readonly modelName: string; readonly version: string; readonly alias: string },
  signal: AbortSignal,
): Promise<RegisteredVersion> {
  const target = await registry.findVersion({ modelName, version }, signal);
  if (target !== null) return target;
  throw new AnnealError(
    'InvalidInput',
    `Model "${modelName}" has no version ${version}, so alias "${alias}" cannot point at it. Promote a version that is registered.`,
  );
}

/** For people who look at the version in MLflow. */
async function tellVersion(
  { registry, signal, turn: { modelName } }: AliasWork,
  { kind, alias, version, replaced, by }: AliasMove,
): Promise<void> {
  if (kind !== 'promote' || version === null) return;
  const tags = { [`${TAGS.replaced}.${alias}`]: replaced ?? NOTHING, [`anneal.promoted_by.${alias}`]: by };
  await registry.setTags({ modelName, version, tags }, signal);
}

function orderOf({ order }: LaneTurn, moves: readonly JournaledMove[]): number {
  return order ?? (moves.at(-1)?.order ?? 0) + 1_000;
}

function toResult({ version, replaced }: Pick<AliasMove, 'version' | 'replaced'>): LaneResult {
  return {
    version: version ?? replaced ?? '',
    ...(replaced === null || version === null ? {} : { replaced }),
  };
}
