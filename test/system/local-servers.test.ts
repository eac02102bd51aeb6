import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';

import { Connection } from '@temporalio/client';

import { endProcess } from '../../src/adapters/process-identity.js';
import { findFreePort } from '../../src/local/free-port.js';
import { readLocalState, startLocalServers, stopLocalServers } from '../../src/local/local-servers.js';
import type { LocalServices } from '../../src/local/local-servers.js';
import { readServerRecord } from '../../src/local/server-record.js';

const MONTH_SECONDS = 30 * 24 * 3600;

async function readNamespace(address: string) {
  const connection = await Connection.connect({ address });
  try {
    const { config } = await connection.workflowService.describeNamespace({ namespace: 'default' });
    const { customAttributes } = await connection.operatorService.listSearchAttributes({
      namespace: 'default',
    });
    return {
      retention: Number(config?.workflowExecutionRetentionTtl?.seconds),
      attributes: Object.keys(customAttributes),
    };
  } finally {
    await connection.close();
  }
}

async function createExperiment(trackingUri: string, name: string): Promise<Response> {
  return await fetch(`${trackingUri}/api/2.0/mlflow/experiments/create`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ name }),
  });
}

describe('the real local servers', () => {
  let directory = '';
  let stateDir = '';
  let services: LocalServices;
  const progress: string[] = [];

  const start = async () => {
    const [port, uiPort, mlflow] = [await findFreePort([]), await findFreePort([]), await findFreePort([])];
    const env = { ...process.env };
    for (const name of ['TEMPORAL_ADDRESS', 'MLFLOW_TRACKING_URI']) delete env[name];
    const cli = process.env['ANNEAL_TEST_TEMPORAL'];
    if (cli !== undefined) env['ANNEAL_TEMPORAL_CLI'] = cli;
    const onProgress = (line: string) => void progress.push(line);
    return await startLocalServers({
      stateDir,
      env,
      onProgress,
      ports: { temporal: { port, uiPort }, mlflow: { port: mlflow } },
    });
  };

  before(async () => {
    directory = await mkdtemp(path.join(tmpdir(), 'anneal system '));
    stateDir = path.join(directory, 'local');
    services = await start();
  });
  after(async () => {
    await stopLocalServers({ stateDir });
    await rm(directory, { recursive: true, force: true });
  });

  test('serve Temporal with 30 days of retention, our search attributes and the Web UI', async () => {
    const { retention, attributes } = await readNamespace(services.temporal.address);
    assert.equal(retention, MONTH_SECONDS);
    assert.ok(attributes.includes('AnnealStatus') && attributes.includes('AnnealTags'));
    assert.equal((await fetch(services.temporal.uiUrl ?? '')).status, 200);
  });

  test('serve MLflow with its artifact proxy', async () => {
    const { trackingUri } = services.mlflow;
    assert.equal((await createExperiment(trackingUri, 'first')).status, 200);
    const artifact = `${trackingUri}/api/2.0/mlflow-artifacts/artifacts/probe/hello.txt`;
    assert.equal((await fetch(artifact, { method: 'PUT', body: 'hello' })).status, 200);
    assert.equal(await (await fetch(artifact)).text(), 'hello');
  });

  test('come back on the same ports with their data after both were killed', async () => {
    for (const name of ['temporal', 'mlflow'] as const) {
      const record = await readServerRecord(stateDir, name);
      assert.ok(record !== undefined && record.processes.length > 0);
      for (const identity of record.processes) await endProcess(identity, { graceMs: 0 });
    }
    assert.equal((await readLocalState(stateDir)).temporal?.running, false);
    const again = await start();
    assert.deepEqual([again.temporal.started, again.mlflow.started], [true, true]);
    assert.equal(again.temporal.address, services.temporal.address);
    assert.equal(again.mlflow.trackingUri, services.mlflow.trackingUri);
    assert.equal((await readNamespace(again.temporal.address)).retention, MONTH_SECONDS);
    assert.equal((await createExperiment(again.mlflow.trackingUri, 'first')).status, 400);
  });

  test('are gone after a stop', async () => {
    assert.deepEqual(await stopLocalServers({ stateDir }), ['temporal', 'mlflow']);
    await assert.rejects(fetch(`${services.mlflow.trackingUri}/health`));
  });
});
