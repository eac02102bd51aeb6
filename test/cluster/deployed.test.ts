import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { until } from '../system/support/until.js';
import { clusterMissing } from './support/cluster.js';
import { deployProject, type DeployedProject } from './support/deployed-project.js';

const missing = ['ANNEAL_TEST_S3', 'ANNEAL_TEST_MLFLOW', 'ANNEAL_TEST_TEMPORAL'].find(
  (name) => process.env[name] === undefined,
);
const skip = clusterMissing || (missing !== undefined && `${missing} not set`);

describe('a project on the workers of k8s/overlays/local', { skip }, () => {
  let deployed: DeployedProject;
  before(async () => {
    deployed = await deployProject();
  });
  after(async () => await deployed.close());

  test('runs without a worker elsewhere, and a rolling restart of all workers repeats and loses nothing', async () => {
    const { anneal, control, kubectl } = deployed;
    await anneal('deploy');
    const names = ['deployment/anneal-pipelines', 'deployment/anneal-pool'];
    const rolledOut = async () => {
      for (const name of names) await kubectl('rollout', 'status', name, '--timeout=100s');
    };
    await rolledOut();
    await anneal('run', 'training', '--id', 'one', '--param', 'control=one', '--param', 'modelName=deployed');
    await until('the training is at work', () => control.told('one').some(({ step }) => step === 'train'));

    const before = (await deployed.workers()).map(({ metadata }) => metadata?.uid);
    await kubectl('rollout', 'restart', ...names);
    await rolledOut();
    await until('the workers of before are gone', async () =>
      (await deployed.workers()).every(({ metadata }) => !before.includes(metadata?.uid)),
    );
    control.finish('one');

    const status = await until('the run has ended', async () => {
      const now = await deployed.status('one');
      return now.state !== 'running' && now;
    });
    assert.equal(status.state, 'completed', JSON.stringify(status));
    assert.deepEqual(
      control.told('one').map(({ event, step, attempt }) => `${step} ${event} ${attempt}`),
      ['prepare start 1', 'prepare end 1', 'train start 1', 'train end 1'],
    );
    assert.equal((await deployed.jobs()).length, 2);
    const restarts = (await deployed.workers()).flatMap(
      ({ status }) => status?.containerStatuses?.map(({ restartCount }) => restartCount) ?? [],
    );
    assert.deepEqual(restarts, [0, 0]);
  });
});
