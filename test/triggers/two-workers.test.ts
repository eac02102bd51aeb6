import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Client } from '@temporalio/client';
import { sweepTriggers } from '../../src/activities/sweep-triggers.js';
import type { EndedRun } from '../../src/activities/ports/run-directory.js';
import type { PipelineDefinition } from '../../src/core/pipeline-definition.js';
import type { TriggerDefinition } from '../../src/core/triggers.js';
import type { BuildManifest } from '../../src/workers/build/build-manifest.js';
import { createRoutedBuild } from '../../src/workers/routed-build.js';
import { createTriggerDirectory } from '../../src/workers/trigger-directory.js';
import { createMemoryStore } from '../tracking/fixtures.js';

const MINUTE = 60_000;

const pipeline = (name: string, triggers: readonly TriggerDefinition[] = []): PipelineDefinition => ({
  ...{ name, params: {}, tags: [], notify: {} },
  triggers,
});

const buildOf = (digest: string, ...pipelines: PipelineDefinition[]): BuildManifest => ({
  ...{ version: 1, digest, project: 'p', steps: [], tasks: [], createdAt: '' },
  pipelines,
});

const BUILDS = {
  before: buildOf('before', pipeline('ingest'), pipeline('report')),
  now: buildOf('now', pipeline('ingest'), pipeline('report', [{ after: 'ingest' }])),
};

/** A server that sends new runs to one build, and workers of which each has the builds that a test says. */
function createWorld() {
  const store = createMemoryStore();
  const world = { current: 'now', nowMs: 0 };
  const ends: EndedRun[] = [];
  const started: string[] = [];
  const client = Object.assign(Object.create(null) as Client, {
    options: { namespace: 'default' },
    workflowService: {
      describeWorkerDeployment: async () =>
        await Promise.resolve({
          workerDeploymentInfo: {
            routingConfig: { currentDeploymentVersion: { buildId: world.current, deploymentName: 'p' } },
          },
        }),
    },
    workflow: {
      start: async (_type: string, { workflowId }: { readonly workflowId: string }) => {
        started.push(workflowId);
        await Promise.resolve();
      },
    },
  });
  const worker = (...builds: readonly (keyof typeof BUILDS)[]) => {
    const known = new Map(builds.map((name) => [name as string, BUILDS[name]]));
    const readManifest = async (digest: string) => await Promise.resolve(known.get(digest));
    const triggers = createTriggerDirectory({
      ...{ client, project: 'p', readCurrent: createRoutedBuild(client, 'p', readManifest) },
      directory: {
        listEnds: async function* (name) {
          for (const run of ends) if (run.pipeline === name) yield await Promise.resolve(run);
        },
      },
    });
    const deps = {
      ...{ project: 'p', triggers, store },
      ...{ clock: { nowMs: () => world.nowMs }, log: () => undefined },
    };
    return async () => {
      world.nowMs += MINUTE;
      await sweepTriggers(deps, AbortSignal.timeout(5_000));
    };
  };
  const end = (runId: string) =>
    ends.push({
      ...{ runId, executionId: `exec-${runId}`, epoch: runId, pipeline: 'ingest', state: 'completed' },
      ...{ startedAtMs: 0, endedAtMs: world.nowMs + 1 },
    });
  return Object.assign(world, { worker, end, started });
}

test('a worker whose own build is another one takes no trigger away: what the server routes to counts', async () => {
  const world = createWorld();
  const [old, fresh] = [world.worker('before'), world.worker('before', 'now')];
  await fresh();
  world.end('one');
  // It does not have the build: it leaves all as it is, for the other one to look at.
  await old();
  await fresh();
  assert.equal(world.started.length, 1);
  world.end('two');
  await old();
  await old();
  await fresh();
  assert.equal(world.started.length, 2);
});

test('both workers agree after a rollback, also the one that has the newer build', async () => {
  const world = createWorld();
  const [one, other] = [world.worker('before', 'now'), world.worker('now', 'before')];
  await one();
  world.current = 'before';
  await other();
  world.end('meanwhile');
  await one();
  await other();
  assert.deepEqual(world.started, []);
});
