import { COST_GROUPS, type CostGroup, type Costs } from '../../client/index.js';
import { formatCost } from '../../core/cost.js';
import { parseDuration } from '../../core/duration.js';
import { AnnealError } from '../../core/failures.js';
import { didYouMean } from '../../core/nearest-name.js';
import type { Command } from '../command.js';
import { renderTable } from '../plain-table.js';
import { EXIT } from '../report-error.js';
import { visible } from '../run-text.js';

/** `anneal cost`: what runs cost, by owner, pipeline or pool. */
export const cost: Command = async (context, _args, { since = '30d', by = 'owner' }) => {
  const sinceMs = context.nowMs() - readSince(since);
  const group = readGroup(by);
  const client = await (await context.openProject()).client();
  const costs = await client.costs({ by: group, sinceMs });
  context.terminal.show(costs, () => render(costs, since));
  return EXIT.ok;
};

function readSince(text: string): number {
  try {
    return parseDuration(text);
  } catch (cause) {
    throw new AnnealError('InvalidCommand', `--since is "${text}"; write a duration such as 12h or 7d.`, {
      cause,
    });
  }
}

function readGroup(text: string): CostGroup {
  const found = COST_GROUPS.find((group) => group === text);
  if (found) return found;
  throw new AnnealError(
    'InvalidCommand',
    `--by is "${text}"; it must be one of ${COST_GROUPS.join(', ')}.${didYouMean(text, COST_GROUPS)}`,
  );
}

function render({ by, total, rows }: Costs, since: string): string {
  if (rows.length === 0)
    return `No run of the last ${since} cost anything. A pool has a price when its pricePerHour is set in anneal.yaml.`;
  const lines = rows.map(({ name, cost: sum, runs }) => [visible(name), formatCost(sum), String(runs)]);
  const table = renderTable([by.toUpperCase(), 'COST', 'RUNS'], lines);
  return `${table}\nTogether ${formatCost(total)}, by runs that began in the last ${since}.`;
}
