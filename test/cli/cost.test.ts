import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { sumCosts } from '../../src/client/run-costs.js';
import { COST_MEMO } from '../../src/core/cost.js';
import { TAGS_ATTRIBUTE } from '../../src/core/run.js';
import { cli, report, STARTED_MS } from './fake-cli.js';

const listed = (type: string, owner: string | undefined, pools?: { readonly [pool: string]: number }) => ({
  ...{ type, workflowId: type, status: { name: 'COMPLETED' }, startTime: new Date(STARTED_MS) },
  searchAttributes: {
    [TAGS_ATTRIBUTE]: [`pipeline:${type}`, ...(owner === undefined ? [] : [`owner:${owner}`])],
  },
  memo: pools && { [COST_MEMO]: { total: Object.values(pools).reduce((sum, cost) => sum + cost, 0), pools } },
});

/** A client of Temporal that only lists. */
function listing(runs: readonly object[]) {
  const queries: string[] = [];
  const list = ({ query }: { readonly query: string }) => {
    queries.push(query);
    return (async function* () {
      yield* await Promise.resolve(runs);
    })();
  };
  return {
    queries,
    deps: {
      project: 'shop',
      clock: { nowMs: () => 0 },
      temporal: {
        withDeadline: async (_at: number, work: () => Promise<unknown>) => await work(),
        workflow: { list },
      },
    } as object as Parameters<typeof sumCosts>[0],
  };
}

describe('sums of costs', () => {
  const runs = [
    listed('churn', 'ana', { cpu: 1, gpu: 20 }),
    listed('churn', 'ana', { gpu: 0.5 }),
    listed('prices', undefined, { cpu: 2.25 }),
    listed('free', 'ben'),
  ];
  const sum = async (by: 'owner' | 'pipeline' | 'pool') => {
    const { total, rows } = await sumCosts(listing(runs).deps, { by, sinceMs: 0 });
    return { total, rows: rows.map(({ name, cost, runs: count }) => [name, cost, count]) };
  };

  test('are by owner, by pipeline and by pool, the largest first; runs that cost nothing are in none', async () => {
    assert.deepEqual(await sum('owner'), {
      total: 23.75,
      rows: [
        ['ana', 21.5, 2],
        ['(no owner)', 2.25, 1],
      ],
    });
    assert.deepEqual(await sum('pipeline'), {
      total: 23.75,
      rows: [
        ['churn', 21.5, 2],
        ['prices', 2.25, 1],
      ],
    });
    assert.deepEqual(await sum('pool'), {
      total: 23.75,
      rows: [
        ['gpu', 20.5, 2],
        ['cpu', 3.25, 2],
      ],
    });
  });

  test('are of the runs of the project that began since then', async () => {
    const { deps, queries } = listing([]);
    await sumCosts(deps, { by: 'owner', sinceMs: STARTED_MS });
    assert.match(
      queries[0] ?? '',
      /TaskQueue = 'shop\/pipelines'.* AND StartTime >= '2026-11-23T11:00:00\.000Z'/,
    );
  });
});

describe('anneal cost', () => {
  const costs = {
    by: 'owner' as const,
    sinceMs: 0,
    total: 21.5,
    rows: [{ name: 'ana', cost: 21.5, runs: 2 }],
  };

  test('shows a row for each, and the sum', async () => {
    const { out, code } = await cli(['cost', '--since', '7d'], {
      client: { costs: () => Promise.resolve(costs) },
    });
    assert.equal(code, 0);
    assert.match(
      out,
      /OWNER +COST +RUNS\n *ana +21\.50 +2\nTogether 21\.50, by runs that began in the last 7d\./,
    );
  });

  test('says why there is nothing, and refuses what it does not know', async () => {
    const none = { client: { costs: () => Promise.resolve({ ...costs, rows: [] }) } };
    assert.match((await cli(['cost'], none)).out, /No run of the last 30d cost anything/);
    assert.match((await cli(['cost', '--by', 'pools'], none)).err, /--by is "pools".*Did you mean "pool"/);
    assert.match((await cli(['cost', '--since', 'monday'], none)).err, /--since is "monday"/);
  });
});

describe('the budget of a run', () => {
  const status = { limit: 200, spent: 41.5, perHour: 12, atMs: STARTED_MS };

  test('is set, and refused where it is none or names a step', async () => {
    const asked: object[] = [];
    const client = {
      setBudget: (runId: string, change: object) => {
        asked.push({ runId, ...change });
        return Promise.resolve(status);
      },
    };
    const { out } = await cli(['set', 'churn-1', '--budget', '200'], { client });
    assert.match(out, /churn-1 may cost 200\.00; 41\.50 of it is spent\./);
    assert.deepEqual(
      asked.map((ask) => 'budget' in ask && ask.budget),
      [200],
    );
    for (const text of ['much', '0', '-4', ''])
      assert.match(
        (await cli(['set', 'churn-1', `--budget=${text}`], { client })).err,
        /must be a number above 0/,
      );
    assert.match(
      (await cli(['set', 'churn-1', 'train', '--budget', '9'], { client })).err,
      /of a run, not of its step/,
    );
    assert.match((await cli(['set', 'churn-1', '--memory', '1Gi'], { client })).err, /Name the step/);
    assert.equal(asked.length, 1);
  });

  test('is shown with the run, and cost in the list where a run has one', async () => {
    const client = {
      status: () => Promise.resolve(report({ cost: 41.5, budget: status })),
      list: () =>
        Promise.resolve([
          { runId: 'a', pipeline: 'p', state: 'completed' as const, startedAtMs: STARTED_MS, cost: 41.5 },
          { runId: 'b', pipeline: 'p', state: 'completed' as const, startedAtMs: STARTED_MS },
        ]),
    };
    assert.match((await cli(['describe', 'churn-1'], { client })).out, /Budget: 41\.50 of 200\.00 spent\n/);
    const { out } = await cli(['list'], { client });
    assert.match(out, /TOOK +COST\n *a .* 41\.50\n *b /);
  });
});
