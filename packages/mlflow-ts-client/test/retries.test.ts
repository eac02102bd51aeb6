import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { ServerResponse } from 'node:http';
import { isMlflowError, tagFilter, type MlflowError } from '../src/index.js';
import { sleepFor } from '../src/retry.js';
import {
  closedAddress,
  ok,
  refuse,
  reset,
  silent,
  stage,
  text,
  truncated,
  wireExperiment,
  wireRun,
  type Behaviour,
} from './misbehaving-server.js';

async function failure(promise: Promise<unknown>): Promise<MlflowError> {
  try {
    await promise;
  } catch (error) {
    assert.ok(isMlflowError(error), String(error));
    return error;
  }
  return assert.fail('the call should fail');
}

describe('calls that may be repeated', () => {
  test('succeed after 500, reset and a broken-off answer, with growing back-off', async (t) => {
    const { client, seen, slept } = await stage(t, [
      refuse(500, 'INTERNAL_ERROR'),
      reset,
      truncated,
      ok(wireExperiment),
    ]);
    assert.equal((await client.experiments.get('7')).name, 'churn');
    assert.equal(seen.length, 4);
    assert.deepEqual(slept, [250, 500, 1000]);
  });

  test('are not repeated by themselves where the caller asked for one write, and say that it may still come', async (t) => {
    const alias = { name: 'm', alias: 'champion', version: '2' };
    for (const write of ['setAlias', 'deleteAlias'] as const) {
      const { client, seen } = await stage(t, [reset, ok({})]);
      const error = await failure(client.registeredModels[write](alias, { once: true }));
      assert.deepEqual([error.doubt, seen.length], [true, 1]);
      await client.registeredModels[write](alias);
      assert.equal(seen.length, 2);
    }
  });

  test('give up after retry.attempts', async (t) => {
    const { client, seen } = await stage(t, [refuse(503, 'TEMPORARILY_UNAVAILABLE')], {
      retry: { attempts: 2 },
    });
    const error = await failure(client.experiments.get('7'));
    assert.equal(error.code, 'TEMPORARILY_UNAVAILABLE');
    assert.equal(error.retryable, true);
    assert.equal(error.doubt, false);
    assert.equal(seen.length, 2);
  });

  test('wait as long as Retry-After says', async (t) => {
    const { client, slept } = await stage(t, [
      text(429, 'slow down', { 'retry-after': '7' }),
      ok(wireExperiment),
    ]);
    await client.experiments.get('7');
    assert.deepEqual(slept, [7000]);
  });

  test('hand a Retry-After beyond the limit to the caller', async (t) => {
    const { client, slept, seen } = await stage(t, [text(503, 'maintenance', { 'retry-after': '3600' })]);
    const error = await failure(client.experiments.get('7'));
    assert.equal(error.retryAfterMs, 3_600_000);
    assert.deepEqual([slept.length, seen.length], [0, 1]);
  });

  test('are repeated after a silent server, each try with its own limit', async (t) => {
    const { client, seen } = await stage(t, [silent, ok(wireExperiment)], { timeoutMs: 100 });
    await client.experiments.get('7');
    assert.equal(seen.length, 2);
  });

  test('are repeated when the database reports a unique race', async (t) => {
    const race = '(sqlite3.IntegrityError) UNIQUE constraint failed: tags.key';
    const { client, seen } = await stage(t, [refuse(400, 'BAD_REQUEST', race), ok({})]);
    await client.runs.setTag({ runId: 'r1', key: 'k', value: 'v' });
    assert.equal(seen.length, 2);
  });

  test('of deletion treat "not there" after a lost answer as done', async (t) => {
    const { client } = await stage(t, [reset, refuse(404, 'RESOURCE_DOES_NOT_EXIST')]);
    await client.modelVersions.delete({ name: 'm', version: '3' });
  });

  test('of deletion report "not there" on the first try', async (t) => {
    const { client, seen } = await stage(t, [refuse(404, 'RESOURCE_DOES_NOT_EXIST')]);
    assert.equal(
      (await failure(client.modelVersions.delete({ name: 'm', version: '3' }))).code,
      'RESOURCE_DOES_NOT_EXIST',
    );
    assert.equal(seen.length, 1);
  });

  for (const code of [
    'INVALID_PARAMETER_VALUE',
    'INVALID_STATE',
    'FEATURE_DISABLED',
    'RESOURCE_DOES_NOT_EXIST',
  ]) {
    test(`are not repeated after ${code}, whatever its status`, async (t) => {
      const { client, seen } = await stage(t, [refuse(500, code)]);
      assert.equal((await failure(client.experiments.get('7'))).retryable, false);
      assert.equal(seen.length, 1);
    });
  }
});

describe('creates that must not be repeated', () => {
  const lost = {
    'a reset': reset,
    'a 500': refuse(500, 'INTERNAL_ERROR'),
    'a write conflict': refuse(400, 'BAD_REQUEST', 'duplicate key value violates unique constraint'),
    'a 409': refuse(409, 'ABORTED'),
    'a proxy 502': text(502, '<html>bad gateway</html>'),
  };
  for (const [what, behaviour] of Object.entries(lost)) {
    test(`throw with doubt after ${what}, having sent once`, async (t) => {
      const { client, seen } = await stage(t, [behaviour]);
      for (const create of [
        () => client.runs.create({ experimentId: '0' }),
        () => client.loggedModels.create({ experimentId: '0' }),
        () => client.modelVersions.create({ name: 'm', source: 'models:/m-1' }),
      ]) {
        const error = await failure(create());
        assert.deepEqual([error.doubt, error.retryable], [true, true]);
      }
      assert.equal(seen.length, 3);
    });
  }

  test('throw TIMEOUT with doubt when the answer is slow', async (t) => {
    const { client, seen } = await stage(t, [silent], { timeoutMs: 100 });
    const error = await failure(client.runs.create({ experimentId: '0' }));
    assert.deepEqual([error.code, error.doubt], ['TIMEOUT', true]);
    assert.match(error.message, /search for its result/);
    assert.equal(seen.length, 1);
  });

  test('throw BAD_RESPONSE with doubt when a success cannot be read', async (t) => {
    const { client } = await stage(t, [text(200, '<html>login</html>')]);
    const error = await failure(client.runs.create({ experimentId: '0' }));
    assert.deepEqual([error.code, error.doubt, error.retryable], ['BAD_RESPONSE', true, false]);
  });

  test('are found by their tag when the server did the work and the answer was lost', async (t) => {
    const versions: unknown[] = [];
    const commitAndReset: Behaviour = (request, response) => {
      versions.push({ ...(request.json as object), version: String(versions.length + 1) });
      reset(request, response);
    };
    const search: Behaviour = (request, response) => ok({ model_versions: versions })(request, response);
    const { client } = await stage(t, [commitAndReset, search]);
    const error = await failure(client.modelVersions.create({ name: 'm', source: 's', tags: { key: 'k1' } }));
    assert.equal(error.doubt, true);
    const found = await client.modelVersions.search({ filter: tagFilter('key', 'k1') });
    assert.deepEqual(
      found.items.map(({ version, tags }) => [version, tags]),
      [['1', { key: 'k1' }]],
    );
  });

  test('have no doubt about a refusal', async (t) => {
    const { client } = await stage(t, [refuse(400, 'INVALID_PARAMETER_VALUE')]);
    assert.equal((await failure(client.runs.create({ experimentId: '0' }))).doubt, false);
  });

  test('are repeated when the server turned them away before any work', async (t) => {
    const { client, seen } = await stage(t, [refuse(429, 'REQUEST_LIMIT_EXCEEDED'), ok(wireRun())]);
    assert.equal((await client.runs.create({ experimentId: '0' })).info.runId, 'r1');
    assert.equal(seen.length, 2);
  });

  test('are repeated without doubt when no connection was made', async (t) => {
    const { client, slept } = await stage(t, [], { trackingUri: await closedAddress() });
    const error = await failure(client.runs.create({ experimentId: '0' }));
    assert.deepEqual([error.code, error.doubt, error.retryable], ['UNREACHABLE', false, true]);
    assert.equal(slept.length, 3);
  });
});

describe('creates that the server refuses to do twice', () => {
  test('of experiments find the one whose answer was lost', async (t) => {
    const absent = refuse(404, 'RESOURCE_DOES_NOT_EXIST');
    const { client } = await stage(t, [
      absent,
      reset,
      refuse(400, 'RESOURCE_ALREADY_EXISTS'),
      ok(wireExperiment),
    ]);
    assert.equal(await client.experiments.ensure({ name: 'churn' }), '7');
  });

  test('of experiments name a deleted one that holds the name', async (t) => {
    const { client } = await stage(t, [
      ok({ experiment: { ...wireExperiment.experiment, lifecycle_stage: 'deleted' } }),
    ]);
    const error = await failure(client.experiments.ensure({ name: 'churn' }));
    assert.equal(error.code, 'RESOURCE_ALREADY_EXISTS');
    assert.match(error.message, /restore/i);
  });

  test('of registered models find the one whose answer was lost', async (t) => {
    const { client } = await stage(t, [
      reset,
      refuse(400, 'RESOURCE_ALREADY_EXISTS'),
      ok({ registered_model: { name: 'm' } }),
    ]);
    assert.equal((await client.registeredModels.ensure({ name: 'm' })).name, 'm');
  });

  test('of run outputs call it done when the model is there', async (t) => {
    const done = {
      run: {
        info: { run_id: 'r1', experiment_id: '0', status: 'RUNNING' },
        outputs: { model_outputs: [{ model_id: 'm-1' }] },
      },
    };
    const duplicate = refuse(400, 'BAD_REQUEST', 'UNIQUE constraint failed: inputs');
    const { client } = await stage(t, [ok(wireRun()), reset, duplicate, duplicate, duplicate, ok(done)]);
    await client.runs.logOutputs({ runId: 'r1', models: [{ modelId: 'm-1' }] });
  });
});

describe('cancellation', () => {
  test('rejects with the reason of the signal, and sends nothing more', async (t) => {
    const reason = new Error('the run was cancelled');
    const controller = new AbortController();
    const { client, seen } = await stage(t, [() => controller.abort(reason)]);
    await assert.rejects(
      client.experiments.get('7', { signal: controller.signal }),
      (error) => error === reason,
    );
    assert.equal(seen.length, 1);
  });

  test('ends a back-off', async (t) => {
    const reason = new Error('the run was cancelled');
    const controller = new AbortController();
    const abortSoon = (_: unknown, response: ServerResponse): void => {
      response.writeHead(503).end('busy', () => setImmediate(() => controller.abort(reason)));
    };
    const { client } = await stage(t, [abortSoon], {
      sleep: sleepFor,
      retry: { initialDelayMs: 600_000, maxDelayMs: 600_000 },
    });
    await assert.rejects(
      client.experiments.get('7', { signal: controller.signal }),
      (error) => error === reason,
    );
  });

  test('of a signal that is aborted already sends nothing', async (t) => {
    const { client, seen } = await stage(t, [ok(wireExperiment)]);
    await assert.rejects(
      client.experiments.get('7', { signal: AbortSignal.abort(new Error('before')) }),
      /before/,
    );
    assert.equal(seen.length, 0);
  });
});
