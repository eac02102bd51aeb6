import assert from 'node:assert/strict';
import { appendFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { after, before, describe, test } from 'node:test';

import { SWEEP_NOW, sweeperWorkflowId } from '../../src/core/sweep.js';
import { DESK } from '../cli/desk-project.js';
import { startDeskWorld, type DeskWorld } from '../cli/desk-world.js';
import { mlflowExecutable, startRealMlflow, withoutMlflow, type RealMlflow } from './mlflow-server.js';
import { until } from './support/until.js';

/** Between two looks that the sweeper is asked for. */
const LOOK_MS = 1_000;

describe('a project whose runs and models are in MLflow', { skip: withoutMlflow }, () => {
  let mlflow: RealMlflow;
  let world: DeskWorld;
  before(async () => {
    mlflow = await startRealMlflow(mlflowExecutable ?? '');
    world = await startDeskWorld({ MLFLOW_TRACKING_URI: mlflow.url });
    await appendFile(path.join(world.root, 'pipelines/index.ts'), PIPELINE);
    await world.startWorker();
  });
  after(async () => {
    await world.close();
    await mlflow.stop();
  });

  const describeRun = async (id: string) => (await world.cli(['describe', id, '--json'])).document();
  const ended = async (id: string) =>
    await until(`${id} has ended`, async () => {
      const report = await describeRun(id);
      return report['state'] !== 'running' && report;
    });
  /** MLflow's run of a run of ours: its tags and how it ended. */
  const trackedAs = async (id: string) => {
    const { tracking } = (await describeRun(id)) as { tracking?: { runId: string } };
    const found = await fetch(`${mlflow.url}/api/2.0/mlflow/runs/get?run_id=${tracking?.runId ?? ''}`);
    const { run } = (await found.json()) as {
      run: { info: { status: string }; data: { tags: { key: string; value: string }[] } };
    };
    const tags = Object.fromEntries(run.data.tags.map(({ key, value }) => [key, value]));
    return { status: run.info.status, retryOf: tags['anneal.retry_of'] };
  };

  test('says there which run a retried one takes up', async () => {
    const mended = path.join(world.root, 'mended');
    const started = await world.cli(['run', 'mendable', '--id', 'night/1', '--param', `mended=${mended}`]);
    assert.equal(started.code, 0, started.err);
    assert.equal((await ended('night/1'))['state'], 'failed');
    await writeFile(mended, '');
    const { code, document, err } = await world.cli(['retry', 'night/1', '--json']);
    assert.equal(code, 0, err);
    assert.deepEqual(
      [document()['runId'], document()['retryOf'], document()['adopted']],
      ['night/1.r2', 'night/1', 1],
    );
    const { state, retryOf } = await ended('night/1.r2');
    assert.deepEqual([state, (retryOf as { runId: string }).runId], ['completed', 'night/1']);
    const tracked = await until('MLflow has closed both', async () => {
      const both = { first: await trackedAs('night/1'), second: await trackedAs('night/1.r2') };
      return both.second.status !== 'RUNNING' && both;
    });
    assert.deepEqual(tracked, {
      first: { status: 'FAILED', retryOf: undefined },
      second: { status: 'FINISHED', retryOf: 'night/1' },
    });
    const rows = (await world.cli(['list', '--json'])).list();
    assert.equal(rows.find(({ runId }) => runId === 'night/1.r2')?.['retryOf'], 'night/1');
  });

  test('starts a run for each move of an alias that somebody makes there, once, also over a restart', async () => {
    const post = async (what: string, body: object) => {
      const answer = await fetch(`${mlflow.url}/api/2.0/mlflow/${what}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
      });
      assert.equal(answer.status, 200, await answer.text());
    };
    const name = 'predictor';
    const moveTo = async (version: string) =>
      await post('registered-models/alias', { name, alias: 'champion', version });
    await post('registered-models/create', { name });
    for (const source of ['s3://models/one', 's3://models/two'])
      await post('model-versions/create', { name, source });
    await moveTo('1');
    // The alias is where it was when the trigger is first seen.
    await until('the trigger is seen', async () => {
      await sweepNow();
      return /since/.test((await world.cli(['schedule', 'triggers'])).out);
    });
    await sweepNow();
    const evaluated = async (count: number) =>
      await until(`${count} versions are evaluated`, async () => {
        const runs = (await world.cli(['list', '--pipeline', 'evaluated', '--json'])).list();
        if (runs.length >= count && runs.every(({ state }) => state === 'completed')) {
          const results = runs.map(async ({ runId }) => (await describeRun(String(runId)))['result']);
          return await Promise.all(results);
        }
        await sweepNow();
        return await delay(LOOK_MS, undefined);
      });
    await moveTo('2');
    assert.deepEqual(await evaluated(1), [{ version: '2' }]);
    await (await world.startWorker()).kill();
    await world.startWorker();
    await sweepNow();
    await moveTo('1');
    // Those that began last first.
    assert.deepEqual(await evaluated(2), [{ version: '1' }, { version: '2' }]);
  });

  const sweepNow = async () =>
    await world.temporal.workflow.getHandle(sweeperWorkflowId(DESK.project)).signal(SWEEP_NOW);
});

const PIPELINE = `
const mendable = defineStep({
  name: 'mendable',
  inputs: { mended: string() },
  outputs: {},
  command: ({ inputs }) => ['sh', '-c', '[ -e "$1" ]', 'sh', inputs.mended],
});

export const mends = definePipeline({ name: 'mendable', params: { mended: string() } }, async ({ mended }) => {
  await write({ n: 1 });
  await mendable({ mended });
});

export const evaluates = definePipeline(
  {
    name: 'evaluated',
    params: { version: string() },
    triggers: [{ alias: 'predictor@champion', params: { version: { from: 'version' } } }],
  },
  async ({ version }) => await Promise.resolve({ version }),
);
`;
