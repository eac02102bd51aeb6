import { digestOfText } from './digest.js';

/** One move of an alias, as the journal keeps it: a tag of the registered model, written once and never changed. */
export interface AliasMove {
  /** Place among all moves of the alias; see `LaneWork.order`. */
  readonly order: number;
  readonly requestId: string;
  readonly alias: string;
  /** `outside`: somebody moved it without Anneal, which counts. `repair`: a late write was undone. */
  readonly kind: 'promote' | 'rollback' | 'demote' | 'outside' | 'repair';
  /** Where the alias points afterwards; null: nowhere. */
  readonly version: string | null;
  readonly replaced: string | null;
  /** Versions that rollbacks go back to, the newest last: it is where the alias points, or pointed before it was removed. */
  readonly stack: readonly string[];
  readonly by: string;
  readonly atMs: number;
  /** Order of the move before, as far as it was known. */
  readonly base?: number;
}

/** A move and what became of it. `done`: seen to be carried out. `doubt`: a write of it may come late. `void`: it ended without effect. */
export interface JournaledMove extends AliasMove {
  readonly done: boolean;
  readonly doubt: boolean;
  readonly void: boolean;
}

/** What may be noted of a move, each in a tag of its own, so that a late writer takes nothing back. */
export type MoveMark = 'done' | 'doubt' | 'void';

/** Hidden by MLflow's UI. */
const PREFIX = 'mlflow.anneal.move.';
/** Versions that an alias remembers. */
const REMEMBERED_VERSIONS = 50;
/** Moves of an alias that are kept. */
export const KEPT_MOVES = 50;
/** A request cannot be under way longer than an operation of the lane may take. */
const LATE_MS = 86_400_000;

/** Tag of a move: `mlflow.anneal.move.<alias>.<order>.<request>`; 250 characters are MLflow's limit. */
export function moveTag({
  alias,
  order,
  requestId,
}: Pick<AliasMove, 'alias' | 'order' | 'requestId'>): string {
  const name = alias.length <= 100 ? alias : digestOfText(alias).slice(0, 32);
  return `${PREFIX}${name}.${String(order).padStart(16, '0')}.${digestOfText(requestId).slice(0, 8)}`;
}

/** The tag of a mark. */
export function markTag(move: Pick<AliasMove, 'alias' | 'order' | 'requestId'>, mark: MoveMark): string {
  return `${moveTag(move)}.${mark}`;
}

/** All moves that the tags of a model hold, by alias, in order. A tag that is not one of ours is none. */
export function readMoves(tags: { readonly [name: string]: string }): Map<string, JournaledMove[]> {
  const moves = new Map<string, JournaledMove[]>();
  for (const [key, text] of Object.entries(tags)) {
    if (!key.startsWith(PREFIX) || /\.(done|doubt|void)$/.test(key)) continue;
    const move = parseMove(text);
    if (move === undefined) continue;
    const marked = (mark: MoveMark) => tags[`${key}.${mark}`] !== undefined;
    const known = moves.get(move.alias) ?? [];
    moves.set(move.alias, known);
    known.push({
      ...move,
      done: move.kind === 'outside' || marked('done'),
      doubt: marked('doubt'),
      void: marked('void'),
    });
  }
  for (const known of moves.values()) known.sort((a, b) => a.order - b.order);
  return moves;
}

function parseMove(text: string): AliasMove | undefined {
  try {
    const move = JSON.parse(text) as Partial<AliasMove>;
    return typeof move.alias === 'string' && typeof move.order === 'number' && Array.isArray(move.stack)
      ? (move as AliasMove)
      : undefined;
  } catch {
    return undefined;
  }
}

/** What an alias must be brought to before anything else happens to it. */
export interface Reconciliation {
  /** Moves without a word of their end, which are settled now. */
  readonly settle: readonly { readonly move: JournaledMove; readonly as: 'done' | 'void' }[];
  readonly newest: JournaledMove | undefined;
  /** How the alias differs from the journal: by a late write of Anneal's own, or by somebody else's. */
  readonly finding: 'as-recorded' | 'late' | 'outside';
}

/**
 * Compares an alias with its moves. It is a late write when the alias is where an older move wanted it, of the last day, that was in doubt,
 * never seen to be done, or written after the newest one began. Everything else was done by somebody else and counts.
 */
export function reconcileAlias(
  moves: readonly JournaledMove[],
  found: string | null,
  { ownRequestId, nowMs }: { readonly ownRequestId: string; readonly nowMs: number },
): Reconciliation {
  const others = moves.filter((move) => !move.void && (move.done || move.requestId !== ownRequestId));
  const last = others.at(-1);
  const settle = others
    .filter((move) => !move.done)
    .map((move) => ({
      move,
      as: move === last && move.version === found ? ('done' as const) : ('void' as const),
    }));
  const voided = new Set(settle.filter(({ as }) => as === 'void').map(({ move }) => move));
  const newest = others.filter((move) => !voided.has(move)).at(-1);
  const own = moves.find((move) => move.requestId === ownRequestId && !move.done && !move.void);
  const underWay = own !== undefined && own.order > (newest?.order ?? 0) && own.version === found;
  if (newest === undefined || newest.version === found || underWay)
    return { settle, newest, finding: 'as-recorded' };
  const late = moves.some(
    (move) =>
      move !== newest &&
      move.version === found &&
      nowMs - move.atMs < LATE_MS &&
      (move.doubt || move.void || !move.done || (newest.base !== undefined && move.order > newest.base)),
  );
  return { settle, newest, finding: late ? 'late' : 'outside' };
}

/** Where an alias is, and the versions that it remembers. */
export interface AliasState {
  readonly current: string | null;
  readonly stack: readonly string[];
}

/** The stack with a version on top; one that is there already is not put there twice. */
export function pushVersion(stack: readonly string[], version: string): readonly string[] {
  return stack.at(-1) === version ? stack : [...stack, version].slice(-REMEMBERED_VERSIONS);
}

/** Where a rollback may lead, the nearest first, each with the stack that is left then. */
export function rollbackTargets({ current, stack }: AliasState): readonly (readonly string[])[] {
  const first = current === null ? stack : stack.slice(0, -1);
  return first.map((_, i) => first.slice(0, first.length - i));
}
