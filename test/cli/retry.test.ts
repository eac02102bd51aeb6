import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { RunSummary } from '../../src/client/index.js';
import { cli, type FakeSetting } from './fake-cli.js';

const started = { runId: 'churn-1.r2', executionId: 'exec-2', retryOf: 'churn-1', adopted: 3 };
const retrying = (pinnedTo?: string) => ({
  client: {
    retry: async () => await Promise.resolve({ ...started, ...(pinnedTo === undefined ? {} : { pinnedTo }) }),
  },
});

describe('anneal retry --state failed', () => {
  interface Run extends RunSummary {
    readonly retryOf?: string;
  }
  const run = (runId: string, given: Partial<Run> = {}): Run => ({
    ...{ runId, pipeline: 'churn', state: 'failed', startedAtMs: 1_000, endedAtMs: 2_000 },
    ...given,
  });
  const retryOf = (first: string, startedAtMs: number) => {
    const { endedAtMs: _, ...open } = run(`${first}.r2`, { state: 'running', retryOf: first, startedAtMs });
    return open;
  };
  /** A server with runs that may change, and what was taken up there. */
  const serverWith = (all: RunSummary[]) => {
    const retried: string[] = [];
    const client: NonNullable<FakeSetting['client']> = {
      list: async ({ state, startedFromMs = 0, endedByMs = Infinity } = {}) =>
        await Promise.resolve(
          all.filter(
            ({ state: its, startedAtMs, endedAtMs = 0 }) =>
              (state ?? its) === its && startedAtMs >= startedFromMs && endedAtMs <= endedByMs,
          ),
        ),
      retry: async (runId) => {
        retried.push(runId);
        return await Promise.resolve({ ...started, runId: `${runId}.r2`, retryOf: runId });
      },
    };
    return { client, retried, all };
  };
  const many = ['retry', '--state', 'failed'];

  test('leaves runs alone that another run has taken up, also where that one runs or has completed', async () => {
    const { client, retried } = serverWith([run('a'), run('b'), retryOf('a', 1_500)]);
    const preview = await cli(many, { client });
    assert.match(preview.out, /^b {2}/m);
    assert.doesNotMatch(preview.out, /^a {2}/m);
    assert.equal((await cli([...many, '--yes'], { client })).code, 0);
    assert.deepEqual(retried, ['b']);
  });

  test('names the command that takes up exactly the runs that were shown, and this says what changed since', async () => {
    const { client, retried, all } = serverWith([run('a'), run('b', { endedAtMs: 3_456 })]);
    const preview = await cli([...many, '--limit', '9', '--keep-approvals'], { client });
    const command =
      'anneal retry --state failed --limit 9 --keep-approvals --as-of 1970-01-01T00:00:03.456Z --yes';
    assert.match(preview.out, new RegExp(`Take up exactly these 2 with: ${command}\\n$`));
    all.push(retryOf('a', 5_000), run('c', { endedAtMs: 3_457 }));
    const { code, out } = await cli(command.split(' ').slice(1), { client });
    assert.equal(code, 0);
    assert.deepEqual(retried, ['b']);
    assert.match(out, /^a was taken up by a\.r2 meanwhile and is left alone\.$/m);
    assert.match(out, /^Since these were shown 1 run more ended as failed and is left alone: c\.$/m);
    const wrong = await cli([...many, '--as-of', 'noon', '--yes'], { client });
    assert.deepEqual([wrong.code, /--as-of is "noon"/.test(wrong.err)], [2, true]);
  });

  test('asks at a terminal, and takes up what it showed though other runs failed while the person thought', async () => {
    const { client, retried, all } = serverWith([run('a'), run('b')]);
    const asked: string[] = [];
    const { out } = await cli(many, {
      client,
      answers: async (question) => {
        asked.push(question);
        all.push(run('c', { endedAtMs: 9_000 }), retryOf('b', 9_000));
        return await Promise.resolve(true);
      },
    });
    assert.deepEqual(asked, ['Take up 2 runs? [y/N] ']);
    assert.deepEqual(retried, ['a']);
    assert.match(out, /^b was taken up by b\.r2 meanwhile/m);
    assert.match(out, /1 run more ended as failed and is left alone: c\./);
    const no = await cli(many, { client, answers: async () => await Promise.resolve(false) });
    assert.match(no.out, /^Nothing was started\.$/m);
    assert.deepEqual(retried, ['a']);
  });

  test('is not asked with --json, which only shows', async () => {
    const { client } = serverWith([run('a')]);
    const answers = async () => await Promise.reject(new Error('nobody is there'));
    const { code, document } = await cli([...many, '--json'], { client, answers });
    assert.equal(code, 0);
    assert.equal((document() as { asOf: string }).asOf, '1970-01-01T00:00:02.000Z');
  });
});

describe('anneal retry --code same', () => {
  test('says what the run waits for where its build is not on this machine, and the way out', async () => {
    const { code, err } = await cli(['retry', 'churn-1', '--code', 'same'], retrying('f'.repeat(64)));
    assert.equal(code, 0);
    assert.match(
      err,
      /It waits for a worker of build f{12}, which is not on this machine.*anneal cancel churn-1\.r2, then anneal retry churn-1 --code new/,
    );
  });

  test('says nothing of builds where the current code runs', async () => {
    assert.equal((await cli(['retry', 'churn-1'], retrying())).err, '');
    const digest = 'b'.repeat(64);
    const stack = { readCurrent: async () => await Promise.resolve(digest) };
    assert.equal((await cli(['retry', 'churn-1', '--code', 'same'], { ...retrying(digest), stack })).err, '');
  });
});
