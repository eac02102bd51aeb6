import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { chooseRun } from '../../src/cli/choose-run.js';
import type { RunState, RunSummary } from '../../src/client/index.js';
import { churn } from './fake-cli.js';

/** A server that lists a run only some looks after it was started, and without a state of its own at first. */
function slowServer(before: readonly RunSummary[] = [], looks = 3) {
  const runs: { readonly run: RunSummary; looksLeft: number }[] = before.map((run) => ({
    run,
    looksLeft: 0,
  }));
  let started = 0;
  let turn: Promise<unknown> = Promise.resolve();
  const said: string[] = [];
  const client = {
    startRun: async () => {
      started += 1;
      const runId = `churn-${started}`;
      runs.unshift({ run: summary(runId, 'queued'), looksLeft: looks });
      return await Promise.resolve({ runId, executionId: 'e' });
    },
    list: async ({ state }: { readonly state?: RunState } = {}) => {
      // What only the run itself can write is not there yet.
      if (state !== undefined) return [];
      const listed = runs.filter((entry) => entry.looksLeft-- <= 0);
      return await Promise.resolve(listed.map(({ run }) => run));
    },
  };
  const start = async () => {
    const mine = turn.then(
      async () =>
        await chooseRun({
          client,
          pipelines: [churn],
          say: (text) => void said.push(text),
          signal: new AbortController().signal,
        }),
    );
    turn = mine;
    return await mine;
  };
  return { start, said, started: () => started };
}

function summary(runId: string, state: RunState): RunSummary {
  return { runId, pipeline: churn.name, state, startedAtMs: 0 };
}

describe('the run of a start', () => {
  test('is one for two starts at the same time', async () => {
    const { start, said, started } = slowServer();
    assert.deepEqual(await Promise.all([start(), start()]), ['churn-1', 'churn-1']);
    assert.equal(started(), 1);
    assert.deepEqual(said, ['Started churn-1.', 'Following churn-1, which is still queued.']);
  });

  test('is the open one that is farthest from waiting', async () => {
    const open = [summary('q', 'queued'), summary('w', 'waiting-for-approval'), summary('r', 'running')];
    assert.equal(await slowServer(open).start(), 'r');
    assert.equal(await slowServer(open.slice(0, 2)).start(), 'w');
  });

  test('is one that is paused rather than a second one, and how it goes on is said', async () => {
    const { start, said } = slowServer([summary('p', 'paused')]);
    assert.equal(await start(), 'p');
    assert.deepEqual(said, ['Following p, which is still paused; let it go on with: anneal resume p']);
  });

  test('is a new one when all have ended', async () => {
    assert.equal(await slowServer([summary('old', 'completed')]).start(), 'churn-1');
  });
});
