import type { JournaledMove } from './alias-moves.js';
import type { TriggerEvent, TriggerMark } from './triggers.js';

/** What a look at a trigger has found, and the mark from which the next one goes on. */
export interface TriggerEvents {
  readonly events: readonly TriggerEvent[];
  readonly mark: TriggerMark;
}

/** One look at an alias. */
export interface AliasLook {
  readonly mark: TriggerMark | undefined;
  readonly model: string;
  readonly alias: string;
  /** As the model's journal has them, in order. */
  readonly moves: readonly JournaledMove[];
  /** Where the alias points now; null: nowhere. */
  readonly version: string | null;
  readonly nowMs: number;
}

/**
 * The moves since the last look: those that the lane has written down, and what somebody has done outside of it, as far as a look sees it.
 * One that was seen outside and is written down later is the same one: the alias was there when it was last looked at. A repair is no
 * move: what it puts back had moved without anybody's will.
 */
export function findMoves({ mark, model, alias, moves, version, nowMs }: AliasLook): TriggerEvents {
  const valid = moves.filter((move) => !move.void);
  const done = valid.filter((move) => move.done);
  const order = done.at(-1)?.order ?? 0;
  if (mark === undefined)
    return { events: [], mark: { activatedAtMs: nowMs, sinceMs: nowMs, order, version, outside: 0 } };
  const events: TriggerEvent[] = [];
  const common = { kind: 'alias' as const, model, alias };
  let at = mark.version ?? null;
  let seen = mark.order ?? 0;
  let outside = mark.outside ?? 0;
  // Its number says which one it is: versions come back, and what the journal is told may be told after it was seen.
  const addOutside = (to: string, told: Pick<JournaledMove, 'by' | 'atMs'>) => {
    outside++;
    const id = `outside-${mark.activatedAtMs}-${outside}-${seen}-${to}`;
    events.push({ ...common, id, version: to, replaced: at, by: told.by, atMs: told.atMs });
  };
  for (const move of done) {
    if (move.order <= seen) continue;
    const { version: to, kind, replaced, by, atMs } = move;
    if (to !== null && kind === 'outside') {
      if (to !== at) addOutside(to, move);
    } else if (to !== null && kind !== 'repair')
      events.push({ ...common, id: String(move.order), version: to, replaced, by, atMs });
    at = to;
    seen = move.order;
  }
  // The lane is at it: the journal says so in a moment.
  const isUnderWay = valid.some((move) => !move.done && move.version === version);
  if (!isUnderWay) {
    if (version !== null && version !== at) addOutside(version, { by: 'outside Anneal', atMs: nowMs });
    at = version;
  }
  return { events, mark: { ...mark, sinceMs: nowMs, order: seen, version: at, outside } };
}
