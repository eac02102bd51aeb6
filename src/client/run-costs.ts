import { addCost } from '../core/cost.js';
import type { ClientDeps } from './client-deps.js';
import { listExecutions } from './list-executions.js';
import { buildListQuery } from './list-runs.js';
import { readOwner, readRunCost, type ListedRun } from './listed-run.js';

/** What costs may be summed up by. */
export const COST_GROUPS = ['owner', 'pipeline', 'pool'] as const;
export type CostGroup = (typeof COST_GROUPS)[number];

/** Which runs are summed up, and by what. */
export interface CostsOptions {
  readonly by: CostGroup;
  /** Runs that began since then. */
  readonly sinceMs: number;
}

/** What runs cost on pools with a price; one row for each owner, pipeline or pool, the largest first. */
export interface Costs {
  readonly by: CostGroup;
  readonly sinceMs: number;
  readonly total: number;
  readonly rows: readonly { readonly name: string; readonly cost: number; readonly runs: number }[];
}

/** Name of the row of runs whose pipeline has no owner. */
const NO_OWNER = '(no owner)';

/**
 * Sums up what runs cost: attempts that have ended, also failed ones. An open run counts with what it had cost when its state changed last;
 * one that was terminated, likewise. Each sub-pipeline is a run of its own. @throws AnnealError ServerUnreachable.
 */
export async function sumCosts(deps: ClientDeps, { by, sinceMs }: CostsOptions): Promise<Costs> {
  const query = buildListQuery(deps.project, { startedFromMs: sinceMs });
  const rows = new Map<string, { name: string; cost: number; runs: number }>();
  for await (const run of listExecutions(deps, 'the list of runs', { query, pageSize: 1_000 }))
    for (const [name, cost] of partsOf(run, by)) {
      const row = rows.get(name) ?? { name, cost: 0, runs: 0 };
      rows.set(name, { name, cost: addCost(row.cost, cost), runs: row.runs + 1 });
    }
  const sorted = [...rows.values()].toSorted((a, b) => b.cost - a.cost || (a.name < b.name ? -1 : 1));
  return { by, sinceMs, total: sorted.reduce((sum, { cost }) => addCost(sum, cost), 0), rows: sorted };
}

function partsOf(run: ListedRun, by: CostGroup): readonly (readonly [string, number])[] {
  const cost = readRunCost(run);
  if (cost === undefined) return [];
  switch (by) {
    case 'owner':
      return [[readOwner(run) ?? NO_OWNER, cost.total]];
    case 'pipeline':
      return [[run.type, cost.total]];
    case 'pool':
      return Object.entries(cost.pools);
  }
}
