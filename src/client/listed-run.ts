import { COST_MEMO, type RunCost } from '../core/cost.js';
import { TAGS_ATTRIBUTE } from '../core/run.js';

/** A run as the list of the server has it. */
export interface ListedRun {
  readonly type: string;
  readonly memo?: { readonly [name: string]: unknown } | undefined;
  readonly searchAttributes?: { readonly [name: string]: unknown };
}

/** What a run cost, as it last wrote it down; undefined: nothing on a pool with a price. */
export function readRunCost({ memo }: Pick<ListedRun, 'memo'>): RunCost | undefined {
  const cost = memo?.[COST_MEMO] as RunCost | undefined;
  return typeof cost?.total === 'number' ? cost : undefined;
}

/** Whose run it is. */
export function readOwner({ searchAttributes }: Pick<ListedRun, 'searchAttributes'>): string | undefined {
  const tags = searchAttributes?.[TAGS_ATTRIBUTE];
  const tag = Array.isArray(tags) ? tags.find((text) => String(text).startsWith(OWNER)) : undefined;
  return tag === undefined ? undefined : String(tag).slice(OWNER.length);
}

const OWNER = 'owner:';
