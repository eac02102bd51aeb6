import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { until } from '../system/support/until.js';
import type { CliProcess } from '../system/support/worker-process.js';
import { startClusterWorld, type ClusterWorld } from './support/cluster-world.js';
import { clusterMissing } from './support/cluster.js';

const skip = clusterMissing || (process.env['ANNEAL_TEST_S3'] === undefined && 'ANNEAL_TEST_S3 not set');

/** Numbers of the lines "unit N". */
const unitsOf = (cli: CliProcess): number[] =>
  [...cli.document().matchAll(/^.*\bunit (\d+)$/gm)].map(([, unit]) => Number(unit));
const countedFrom1 = (units: readonly number[]) => units.map((_, index) => index + 1);

describe('the log of a step in a pod', { skip }, () => {
  let world: ClusterWorld;
  before(async () => {
    world = await startClusterWorld();
  });
  after(async () => await world.close());

  test('is followed live while no worker lives, from the beginning after a cut, without gaps or doubles', async () => {
    const first = await world.startWorker();
    const run = await world.startRun();
    await run.training();
    const cut = world.anneal('logs', run.runId, 'train', '--follow');
    await until('it shows what the step prints', () => unitsOf(cut).length >= 3);

    first.kill('SIGKILL');
    await first.exited();
    const shown = unitsOf(cut).length;
    await until('it goes on without a worker', () => unitsOf(cut).length > shown + 10);
    cut.kill('SIGKILL');
    await cut.exited();
    assert.deepEqual(unitsOf(cut), countedFrom1(unitsOf(cut)));

    const again = world.anneal('logs', run.runId, 'train', '--follow');
    await until('all of it is there again, and more', () => unitsOf(again).length > unitsOf(cut).length + 5);
    await world.startWorker();
    run.finish();
    assert.equal((await run.ended()).state, 'completed');
    assert.equal((await again.exited()).code, 0, again.output());
    const units = unitsOf(again);
    assert.deepEqual(units, countedFrom1(units));
    const end = run.told().find(({ event, step }) => event === 'end' && step === 'train');
    assert.equal(units.length, end?.units);
  });
});
