import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';
import { createMlflowClient, type MlflowClient } from 'mlflow-ts-client';

import { connectTemporal, type Lineage } from '../../src/client/index.js';
import { readLocalState } from '../../src/local/local-servers.js';
import type { FaultRun } from './support/fault-run.js';
import { startFaultWorld } from './support/fault-world.js';
import type { FaultWorld } from './support/fault-world.js';
import { until } from './support/until.js';

describe('what MLflow and lineage show of a run on the real servers', () => {
  let world: FaultWorld;
  let mlflow: MlflowClient;
  before(async () => {
    world = await startFaultWorld();
    const { mlflow: server } = await readLocalState(world.paths.stateDir);
    mlflow = createMlflowClient({ trackingUri: server?.address ?? '' });
  });
  afterEach(async () => {
    await world.clear();
  });
  after(async () => {
    await world.close();
  });

  const stepRun = async ({ runId }: FaultRun, step: string) =>
    await until(`MLflow has a run of ${step}`, async () => {
      const { tracking } = await world.client.status(runId);
      if (tracking === undefined) return undefined;
      const filter = `tags.\`anneal.step\` = '${step}' AND tags.\`anneal.run_id\` = '${runId}'`;
      const { items } = await mlflow.runs.search({ experimentIds: [tracking.experimentId], filter });
      return items[0];
    });
  const pointsOf = async (runId: string) => {
    const steps: number[] = [];
    let pageToken: string | undefined;
    do {
      const page = await mlflow.metrics.getHistory({
        ...{ runId, metricKey: 'units' },
        ...(pageToken === undefined ? {} : { pageToken }),
      });
      steps.push(...page.items.map(({ step }) => step));
      pageToken = page.nextPageToken;
    } while (pageToken !== undefined && pageToken !== '');
    return steps.sort((a, b) => a - b);
  };
  const arrived = async (runId: string, more: number) =>
    await until(`more than ${more} points have arrived`, async () => {
      const points = await pointsOf(runId);
      return points.length > more ? points.length : undefined;
    });

  test('a curve grows while the step trains, and has each point once though its worker was killed in between', async () => {
    const worker = await world.startWorker();
    const run = await world.startRun();
    await run.training();
    const { info } = await stepRun(run, 'train');
    const before = await arrived(info.runId, 3);
    assert.equal((await mlflow.runs.get(info.runId)).info.status, 'RUNNING');
    worker.kill('SIGKILL');
    await worker.exited();
    // Points that nobody forwards: the next worker has to.
    const stored = await run.storedUnits();
    await until('the training goes on alone', async () => (await run.storedUnits()) > stored + 10);

    await world.startWorker();
    await run.adopted();
    await arrived(info.runId, before + 10);
    assert.equal((await mlflow.runs.get(info.runId)).info.status, 'RUNNING');
    await run.finish();
    assert.equal((await run.ended()).state, 'completed');
    const units = (await run.ledger()).find(({ event, step }) => event === 'end' && step === 'train')?.units;
    assert.deepEqual(
      await pointsOf(info.runId),
      Array.from({ length: units ?? 0 }, (_, i) => i + 1),
    );
  });

  test('a model leads to its steps, also when Temporal has forgotten the run, and MLflow shows data and model on the step', async () => {
    await world.startWorker();
    const run = await world.startRun();
    await run.finish();
    assert.equal((await run.ended()).state, 'completed');
    const { info, inputs, outputs, data } = await stepRun(run, 'train');
    const [dataset] = inputs.datasetInputs;
    assert.equal(dataset?.dataset.name, 'data');
    assert.equal(dataset.tags['mlflow.data.context'], 'training');
    assert.match(data.tags['anneal.code_digest'] ?? '', /^[0-9a-f]{64}$/);
    const version = await mlflow.modelVersions.get({ name: run.modelName, version: '1' });
    assert.deepEqual(
      outputs.modelOutputs.map(({ modelId }) => modelId),
      [version.modelId],
    );
    assert.equal(version.tags['anneal.made_by.mlflow_run_id'], info.runId);
    assert.equal(version.tags['anneal.dataset.data'], dataset.tags['anneal.digest']);

    await forget(run.runId);
    const ofModel = await ask(`model:${run.modelName}@champion`);
    assert.deepEqual(stepsOf(ofModel), ['prepare', 'train']);
    assert.deepEqual(ofModel.notices, []);
    assert.deepEqual(stepsOf(await ask(`run:${run.runId}`, '--direction', 'back')), [
      'prepare',
      'publish',
      'train',
    ]);
    const data1 = ofModel.nodes.find((node) => node.kind === 'artifact' && node.artifactKind === 'Dataset');
    const forward = await ask(data1?.id ?? '');
    assert.ok(forward.nodes.some((node) => node.kind === 'version' && node.aliases.includes('champion')));
  });

  const ask = async (subject: string, ...options: readonly string[]): Promise<Lineage> => {
    const asked = world.runCli('lineage', subject, '--json', ...options);
    const { code } = await asked.exited();
    assert.equal(code, 0, asked.output());
    return JSON.parse(asked.document()) as Lineage;
  };

  /** As Temporal's retention does. */
  const forget = async (runId: string) => {
    const { temporal } = await readLocalState(world.paths.stateDir);
    const connection = { address: temporal?.address ?? '' };
    const { client, namespace, close } = await connectTemporal({ connection, namespace: 'default' });
    try {
      const workflowExecution = { workflowId: runId };
      await client.workflowService.deleteWorkflowExecution({ namespace, workflowExecution });
      await until('Temporal has forgotten the run', async () => {
        const found = await client.workflow
          .getHandle(runId)
          .describe()
          .then(
            () => true,
            () => false,
          );
        return !found;
      });
    } finally {
      await close();
    }
  };
});

function stepsOf({ nodes }: Lineage): string[] {
  return nodes.flatMap((node) => (node.kind === 'step' ? [node.step] : [])).sort();
}
