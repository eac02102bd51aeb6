import {
  KEPT_MOVES,
  markTag,
  moveTag,
  type AliasMove,
  type JournaledMove,
  type MoveMark,
} from '../core/alias-moves.js';
import { AnnealError } from '../core/failures.js';
import type { Clock } from './ports/activity-context.js';
import type { ModelRegistry, RegisteredName } from './ports/model-registry.js';

/** What moving aliases stands on. */
export interface AliasDeps {
  readonly registry: ModelRegistry;
  readonly clock: Pick<Clock, 'nowMs'>;
}

/** The operation of the lane that aliases are looked at for. */
export interface LaneTurn {
  readonly modelName: string;
  readonly requestId: string;
  /** Absent for a lane of an earlier version: then after everything that the journal holds. */
  readonly order?: number | undefined;
  /** Try of the activity: from the second on, a predecessor may still write. */
  readonly attempt: number;
}

/** One operation at work. */
export interface AliasWork extends AliasDeps {
  readonly turn: LaneTurn;
  readonly signal: AbortSignal;
}

/** Points the alias, and `previous-<alias>`, where a journaled move wants them, looks whether it is so, and notes it. */
export async function pointAlias(work: AliasWork, move: AliasMove): Promise<boolean> {
  const { registry, signal } = work;
  const { modelName } = work.turn;
  const { alias, version } = move;
  const before = await registry.readModel(modelName, signal);
  const previous = (version === null ? move.stack.at(-1) : move.stack.at(-2)) ?? null;
  const previousAlias = `previous-${alias}`;
  if ((before?.aliases[previousAlias] ?? null) !== previous)
    await registry.setAlias({ modelName, alias: previousAlias, version: previous }, signal);
  let doubtful = false;
  if ((before?.aliases[alias] ?? null) !== version) {
    ({ doubtful } = await registry.setAlias({ modelName, alias, version }, signal));
    if (doubtful) await mark(work, { move, as: 'doubt' });
  }
  verify(await registry.readModel(modelName, signal), modelName, move);
  await mark(work, { move, as: 'done' });
  return doubtful;
}

function verify(model: RegisteredName | null, modelName: string, { alias, version }: AliasMove): void {
  const now = model?.aliases[alias] ?? null;
  if (now === version) return;
  const found = now === null ? 'it is not set' : `it points at version ${now}`;
  const wanted = version === null ? 'removed' : `set to version ${version}`;
  throw new AnnealError(
    'RegistrationFailed',
    `Alias "${alias}" of model "${modelName}" was ${wanted}, but ${found}. Something else moves it at the same time.`,
  );
}

/** Notes what is about to be done; from here on it is done to its end. */
export async function writeMove(
  { registry, signal, turn: { modelName } }: AliasWork,
  move: AliasMove,
): Promise<void> {
  await registry.setModelTags({ modelName, tags: { [moveTag(move)]: JSON.stringify(move) } }, signal);
}

/** Notes how a move went. */
export async function mark(
  { registry, signal, turn: { modelName } }: AliasWork,
  { move, as }: { readonly move: AliasMove; readonly as: MoveMark },
): Promise<void> {
  await registry.setModelTags({ modelName, tags: { [markTag(move, as)]: 'true' } }, signal);
}

/** Keeps the journal short: the newest moves stay. */
export async function forgetOldMoves(
  { registry, signal, turn: { modelName } }: AliasWork,
  moves: readonly JournaledMove[],
): Promise<void> {
  for (const move of moves.slice(0, Math.max(0, moves.length + 1 - KEPT_MOVES))) {
    const marks = (['done', 'doubt', 'void'] as const).filter(
      (name) => move[name] && move.kind !== 'outside',
    );
    const tags = [...marks.map((name) => markTag(move, name)), moveTag(move)];
    await registry.setModelTags(
      { modelName, tags: Object.fromEntries(tags.map((tag) => [tag, null])) },
      signal,
    );
  }
}
