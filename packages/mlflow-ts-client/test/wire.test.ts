import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { allOf, attributeFilter, BATCH_LIMITS, filterValue, tagFilter } from '../src/index.js';
import { splitBatch } from '../src/batches.js';
import { readRetryAfterMs } from '../src/retry.js';
import { ok, stage, wireRun } from './misbehaving-server.js';

describe('the wire', () => {
  test('carries NaN and the infinities as text, both ways', async (t) => {
    const points = [NaN, Infinity, -Infinity, 0.5];
    const history = points.map((value, step) => ({
      key: 'loss',
      value: Number.isFinite(value) ? value : String(value),
      timestamp: '5',
      step,
    }));
    const { client, seen } = await stage(t, [ok({}), ok({ metrics: history })]);
    await client.runs.logBatch({
      runId: 'r1',
      metrics: points.map((value, step) => ({ key: 'loss', value, timestamp: 5, step })),
    });
    assert.deepEqual(seen[0]?.json, {
      run_id: 'r1',
      metrics: history.map((point) => ({ ...point, timestamp: 5 })),
      params: [],
      tags: [],
    });
    const page = await client.metrics.getHistory({ runId: 'r1', metricKey: 'loss' });
    assert.deepEqual(
      page.items.map(({ value }) => value),
      points,
    );
    assert.equal(page.items[0]?.timestamp, 5);
  });

  test('leaves the names of tags and parameters alone', async (t) => {
    const tags = { 'mlflow.parentRunId': 'p', someKey: 'v', __proto__x: 'y' };
    const run = {
      run: {
        info: { run_id: 'r1', experiment_id: 0, status: 'FINISHED', from_the_future: {} },
        data: { tags: [{ key: 'someKey', value: 'v' }, { key: 'snake_case' }] },
      },
    };
    const { client, seen } = await stage(t, [ok(run)]);
    const created = await client.runs.create({ experimentId: '0', runName: 'n', tags });
    assert.deepEqual(seen[0]?.json, {
      experiment_id: '0',
      run_name: 'n',
      tags: Object.entries(tags).map(([key, value]) => ({ key, value })),
    });
    assert.deepEqual(created.data.tags, { someKey: 'v', snake_case: '' });
    assert.equal(created.info.experimentId, '0');
    assert.deepEqual(created.outputs.modelOutputs, []);
  });

  test('gives DELETE a JSON body and a content type', async (t) => {
    const { client, seen } = await stage(t, [ok({})]);
    await client.registeredModels.deleteAlias({ name: 'm', alias: 'champion' });
    assert.deepEqual(
      [seen[0]?.method, seen[0]?.headers['content-type'], seen[0]?.json],
      ['DELETE', 'application/json', { name: 'm', alias: 'champion' }],
    );
  });

  test('repeats the key of a list in a query', async (t) => {
    const { client, seen } = await stage(t, [ok({})]);
    await client.modelVersions.search({
      filter: "name='m'",
      orderBy: ['name ASC', 'version_number DESC'],
      maxResults: 5,
    });
    assert.equal(
      seen[0]?.url,
      '/api/2.0/mlflow/model-versions/search?filter=name%3D%27m%27&order_by=name+ASC&order_by=version_number+DESC&max_results=5',
    );
  });
});

describe('searches', () => {
  test('walk all pages as they are consumed', async (t) => {
    const page = (id: string, token?: string): unknown => ({
      runs: [(wireRun({ run_id: id }) as { run: unknown }).run],
      next_page_token: token,
    });
    const { client, seen } = await stage(t, [ok(page('a', 't1')), ok(page('b', 't2')), ok(page('c', ''))]);
    const ids: string[] = [];
    for await (const run of client.runs.searchAll({ experimentIds: ['0'] })) ids.push(run.info.runId);
    assert.deepEqual(ids, ['a', 'b', 'c']);
    assert.deepEqual(seen[1]?.json, { experiment_ids: ['0'], page_token: 't1' });
  });

  test('stop when the server repeats a token', async (t) => {
    const { client } = await stage(t, [ok({ next_page_token: 'same' })]);
    await assert.rejects(client.runs.searchAll({ experimentIds: ['0'] }).next(), /repeated the page token/);
  });

  test('without results are empty', async (t) => {
    const { client } = await stage(t, [ok({})]);
    assert.deepEqual(await client.modelVersions.search({}), { items: [], nextPageToken: undefined });
  });
});

describe('batches', () => {
  const metric = (step: number): { key: string; value: number; timestamp: number; step: number } => ({
    key: 'loss',
    value: step,
    timestamp: 1,
    step,
  });
  const entries = (count: number, size = 1): Record<string, string> =>
    Object.fromEntries(Array.from({ length: count }, (_, index) => [`k${index}`, 'v'.repeat(size)]));

  test('are split at every limit and keep every entry in order', () => {
    const batch = {
      metrics: Array.from({ length: 2500 }, (_, step) => metric(step)),
      params: entries(250),
      tags: entries(150),
    };
    const parts = splitBatch(batch);
    for (const part of parts) {
      assert.ok(part.params.length <= BATCH_LIMITS.params && part.tags.length <= BATCH_LIMITS.tags);
      assert.ok(part.metrics.length + part.params.length + part.tags.length <= BATCH_LIMITS.entries);
    }
    assert.deepEqual(
      parts.flatMap((part) => part.metrics),
      batch.metrics,
    );
    assert.equal(parts.flatMap((part) => part.params).length, 250);
    assert.equal(parts.flatMap((part) => part.tags).length, 150);
  });

  test('stay under 1 MB, counted in bytes', () => {
    const parts = splitBatch({
      tags: Object.fromEntries(Array.from({ length: 100 }, (_, index) => [`k${index}`, 'ü'.repeat(8000)])),
    });
    assert.equal(parts.length, 2);
    for (const part of parts) assert.ok(Buffer.byteLength(JSON.stringify(part)) < 1_000_000);
  });

  test('that are empty send nothing', () => {
    assert.deepEqual(splitBatch({ metrics: [], params: {} }), []);
  });
});

describe('filters', () => {
  test('quote plain values', () => {
    assert.equal(
      allOf(attributeFilter('name', 'churn-predictor'), tagFilter('mlflow.anneal.idempotencyKey', 'ab12')),
      "name = 'churn-predictor' AND tags.`mlflow.anneal.idempotencyKey` = 'ab12'",
    );
  });

  for (const value of ["it's", 'a b', '', 'a"b', 'a`b', 'é', 'a\n']) {
    test(`refuse ${JSON.stringify(value)}`, () => {
      assert.throws(() => filterValue(value), /cannot be quoted safely/);
      assert.throws(() => tagFilter('k', value), /cannot be quoted safely/);
    });
  }

  test('refuse keys and attributes that are none', () => {
    assert.throws(() => tagFilter('a`b', 'v'), /filter key/);
    assert.throws(() => attributeFilter("name' OR 1", 'v'), /search attribute/);
  });
});

describe('Retry-After', () => {
  test('is seconds or a date', () => {
    assert.equal(readRetryAfterMs('2', 0), 2000);
    assert.equal(readRetryAfterMs('Thu, 01 Jan 1970 00:00:05 GMT', 1000), 4000);
    assert.equal(readRetryAfterMs('Thu, 01 Jan 1970 00:00:05 GMT', 9000), 0);
    assert.equal(readRetryAfterMs('soon', 0), undefined);
    assert.equal(readRetryAfterMs(null, 0), undefined);
  });
});
