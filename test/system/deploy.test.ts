import assert from 'node:assert/strict';
import { mkdtemp, readdir, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { Client } from '@temporalio/client';

import {
  connectTemporal,
  createAnnealClient,
  type AnnealClient,
  type Overview,
} from '../../src/client/index.js';
import { loadConfig } from '../../src/config/load-config.js';
import { projectPaths, type ProjectPaths } from '../../src/config/project-paths.js';
import { stopLocalServers } from '../../src/local/local-servers.js';
import { endLocalAttempts } from '../../src/workers/end-local-attempts.js';
import { createDataConverter, openStore } from '../../src/workers/open-store.js';
import { startTemporal, testEnvironment } from '../cli/desk-world.js';
import { openCodeDesk } from './support/code-desk.js';
import { until } from './support/until.js';
import { startWorkerProcess, type CliProcess } from './support/worker-process.js';

const PROJECT = 'versions';

/**
 * `version` is what a run of this code says. From v2 on the code of `quick` goes another way than that of v1: a run that were moved between them would fail.
 * @param reordered the code asks for its approval after something else: another way.
 */
function pipelinesOf(version: string, { reordered = false } = {}): string {
  return `import { approval, boolean, dataset, definePipeline, defineStep, defineTask, sleep } from 'anneal';

const say = defineTask<typeof import('./tasks.js').tell>('tell');
${version === 'v1' ? '' : `const greet = defineTask<typeof import('./tasks.js').tell>('greet');`}
const write = defineStep({
  name: 'write',
  code: 'steps/write.mjs',
  inputs: {},
  outputs: { data: dataset() },
  command: ({ outputs }) => [${JSON.stringify(process.execPath)}, 'write.mjs', outputs.data.path],
});

export const quick = definePipeline({ name: 'quick', params: {} }, async () => {
  ${version === 'v1' ? QUICK : OTHER_QUICK}
  return { version: '${version}', first, second };
});

export const waits = definePipeline({ name: 'waits', params: { asks: boolean({ default: true }) } }, async () => {
  ${reordered ? `await sleep('10ms');` : ''}
  const { data } = await write({});
  await approval('go-on', { subject: data, allowUnverified: true });
  const after = await write({}, { name: 'write-after' });
  return { version: '${version}', digest: after.data.digest };
});
`;
}

const QUICK = `const first = await say({});
  await sleep('300ms');
  const second = await say({});`;
const OTHER_QUICK = `await sleep('50ms');
  const [first] = await Promise.all([greet({}), sleep('200ms')]);
  const second = await say({});`;

describe('new code under running runs', () => {
  let root: string;
  let env: NodeJS.ProcessEnv;
  let paths: ProjectPaths;
  let client: AnnealClient;
  let temporal: Client;
  let close: () => Promise<void>;
  const workers: CliProcess[] = [];

  const code = openCodeDesk(() => ({ root, env }));
  const { cli, deploy } = code;

  /** Writes the code of a version; the next build is of it. */
  const write = async (version: string, options: { reordered?: boolean } = {}) => {
    const files = {
      'anneal.yaml': `project: ${PROJECT}\nactivities: ./pipelines/tasks.ts\npools:\n  cpu:\n    slots: 4\n`,
      'pipelines/index.ts': pipelinesOf(version, options),
      'pipelines/tasks.ts': `export async function tell(): Promise<string> { return '${version}'; }\nexport const greet = tell;\n`,
      'steps/write.mjs': `import { writeFileSync } from 'node:fs';\nwriteFileSync(process.argv[2], '${version}');\n`,
    };
    await code.write(files);
  };
  const resultOf = async (runId: string) => {
    const { state, result, failure } = await client.wait(runId);
    assert.equal(state, 'completed', `${runId}: ${failure?.message ?? ''}`);
    return result as { version: string; first: string; second: string; digest: string };
  };
  const waiting = async (runId: string) =>
    await until(`${runId} waits`, async () => (await client.status(runId)).approvals[0]);
  const startWaiting = async (runId: string) => {
    await client.startRun('waits', { runId });
    await waiting(runId);
    return await client.status(runId);
  };
  const decide = async (runId: string) =>
    await client.decide({ runId, gate: 'go-on', decision: 'approve', by: 'ana' });

  before(async () => {
    root = await mkdtemp(path.join(await realpath(tmpdir()), 'anneal versions '));
    env = testEnvironment();
    await write('v1');
    paths = projectPaths(await loadConfig({ cwd: root, env }));
    const address = await startTemporal(paths, env);
    const connected = await connectTemporal({
      connection: { address },
      namespace: 'default',
      dataConverter: createDataConverter(openStore(paths)),
    });
    client = createAnnealClient({ temporal: connected.client, project: PROJECT, store: openStore(paths) });
    temporal = connected.client;
    close = async () => await connected.close();
    workers.push(await startWorkerProcess(root, env));
    workers.push(await startWorkerProcess(root, env));
  });
  after(async () => {
    for (const worker of workers) {
      worker.kill('SIGKILL');
      await worker.exited();
    }
    await close();
    await endLocalAttempts(paths, { graceMs: 0 });
    await stopLocalServers({ stateDir: paths.stateDir });
    await rm(root, { recursive: true, force: true });
  });

  test('a ramp, rollbacks and the death of a worker under load fail no run, and each run keeps to its code', async () => {
    const runs: string[] = [];
    let loading = true;
    const load = (async () => {
      while (loading) {
        runs.push((await client.startRun('quick')).runId);
        await new Promise((resolve) => setTimeout(resolve, 80));
      }
    })();
    /** Waits until so many runs began since. */
    const since = async (from: number, count: number) =>
      await until(`${count} more runs have begun`, () => runs.length > from + count);
    await startWaiting('a-week');
    await write('v2');
    const beforeRamp = runs.length;
    const ramped = await deploy('--ramp', '50');
    const [v1, v2] = [ramped.current, ramped.ramp?.digest ?? ''];
    assert.equal(ramped.ramp?.percent, 50);
    assert.notEqual(v1, v2);
    const atRamp = runs.length;
    await since(atRamp, 10);
    // Runs of both versions that it had going are taken up by the other one, from their histories.
    const [, second] = workers;
    second?.kill('SIGKILL');
    await second?.exited();
    await since(atRamp, 25);
    workers.push(await startWorkerProcess(root, env));
    const back = await deploy('--rollback');
    const atRollback = runs.length;
    assert.equal(back.current, v1);
    assert.equal(back.ramp, undefined);
    await since(atRollback, 15);
    const beforeDeploy = runs.length;
    const done = await deploy('--build', v2);
    const atDeploy = runs.length;
    assert.deepEqual([done.current, done.previous], [v2, v1]);
    await since(atDeploy, 15);
    const beforeBack = runs.length;
    const whole = await deploy('--rollback');
    const atBack = runs.length;
    assert.deepEqual([whole.current, whole.previous], [v1, v2], 'without a ramp the build before is current');
    await since(atBack, 15);
    loading = false;
    await load;
    await deploy('--build', v2);

    const results = await Promise.all(runs.map(resultOf));
    for (const { version, first, second: later } of results)
      assert.deepEqual([first, later], [version, version]);
    const share = results.slice(atRamp, atRollback).filter(({ version }) => version === 'v2').length;
    assert.ok(share > 0 && share < atRollback - atRamp, `${share} of ${atRollback - atRamp} went to v2`);
    const at = (from: number, to?: number) => [
      ...new Set(results.slice(from, to).map(({ version }) => version)),
    ];
    assert.deepEqual(at(0, beforeRamp), ['v1']);
    // What the server was told reaches all partitions of a queue within moments.
    assert.deepEqual(at(atRollback + 5, beforeDeploy), ['v1']);
    assert.deepEqual(at(atDeploy + 5, beforeBack), ['v2']);
    assert.deepEqual(at(atBack + 5), ['v1']);
    const builds = await Promise.all([0, atDeploy + 5].map(async (i) => await client.status(runs[i] ?? '')));
    assert.deepEqual(
      builds.map(({ build }) => build),
      [v1, v2],
    );
  });

  test('a run that waits for an approval is seen on its own version, and ends on it', async () => {
    const versions = await client.versions.list();
    assert.equal(versions[0]?.status, 'current');
    const old = versions.find(({ runs }) => runs.some(({ runId }) => runId === 'a-week'));
    assert.equal(old?.status, 'draining');
    assert.match((await cli('versions')).output, /draining .* a-week \(waiting-for-approval\)/);
    const top = (await cli('top', '--json')).document() as Overview;
    assert.deepEqual(top.pools, [
      { pool: 'cpu', queued: 0, oldestWaitMs: 0, served: true, running: 0, waiting: 0 },
    ]);
    assert.deepEqual(
      top.approvals.map(({ runId }) => runId),
      ['a-week'],
    );
    await decide('a-week');
    assert.equal((await resultOf('a-week')).version, 'v1');
    await deploy('--drain');
    assert.equal(await client.versions.countOthers(versions[0]?.build ?? ''), 0);
  });

  test('runs of a ramp are not waited for, only those of builds that take no new ones', async () => {
    await write('v2, ramped');
    await deploy('--ramp', '100');
    await startWaiting('on-ramp');
    await deploy('--ramp', '100', '--drain');
    assert.equal((await client.status('on-ramp')).state, 'waiting-for-approval');
    await decide('on-ramp');
    assert.equal((await resultOf('on-ramp')).version, 'v2, ramped');
    await deploy('--rollback');
  });

  test('a run is moved to another build on purpose: what it calls from then on is that build', async () => {
    await client.startRun('waits', { runId: 'moved' });
    const { digest: before } = await waiting('moved');
    await write('v3');
    const { current } = await deploy();
    const { code, output } = await cli('migrate', 'moved');
    assert.equal(code, 0, output);
    await until('the server knows', async () => {
      const found = (await client.versions.list()).find(({ build }) => build === current);
      return found?.runs.some(({ runId }) => runId === 'moved');
    });
    await decide('moved');
    const { version, digest } = await resultOf('moved');
    assert.equal(version, 'v3');
    assert.notEqual(digest, before, 'the step ran with the code of v3');
    const { build } = await client.status('moved');
    assert.equal(build, current);
  });

  test('a run whose history disagrees with a build is not moved there, and replay names its kind', async () => {
    await startWaiting('stays');
    const saved = path.join(root, 'histories');
    const recorded = await cli('replay', '--save', saved, '--json');
    // Runs of the load began with code that went another way, and with this one.
    assert.equal(recorded.code, 1, recorded.output);
    const kinds = (recorded.document() as { shapes: { shape: string; problem?: string }[] }).shapes;
    assert.deepEqual(
      kinds.flatMap(({ shape, problem }) => (problem === undefined ? [] : [shape])),
      ['quick: tell; completed'],
    );
    assert.ok(kinds.some(({ shape }) => shape.startsWith('quick: greet')));
    await write('v4', { reordered: true });
    await deploy();
    const { code, output } = await cli('migrate', 'stays');
    assert.equal(code, 2);
    assert.match(
      output,
      /InvalidInput: Run "stays" cannot go on with build \w{12}, whose code takes another way/,
    );

    const live = await cli('replay', '--since', '7d');
    assert.equal(live.code, 1);
    assert.match(live.output, /✘ waits: write; open \(1 run, such as stays\)/);
    assert.match(live.output, /✘ waits: write, .*write-after.*; completed \(\d runs?, such as /);
    assert.doesNotMatch(live.output, /✘ quick: greet/);
    const files = await cli('replay', '--histories', saved);
    assert.equal(files.code, 1, files.output);
    assert.match(files.output, /such as waits-write-open\)/);
    assert.ok((await readdir(saved)).some((file) => file.startsWith('quick-')));

    await decide('stays');
    assert.equal((await resultOf('stays')).version, 'v3');
  });

  test('a run that was moved against the advice fails on its history, and goes on when it is moved back', async () => {
    const { build: began } = await startWaiting('forced');
    await write('v5');
    await deploy();
    const forced = await cli('migrate', 'forced', '--force');
    assert.equal(forced.code, 0, forced.output);
    const handle = temporal.workflow.getHandle('forced');
    await handle.signal('nobody-takes-this');
    await until('a worker of the other build has failed on it', async () => {
      const { events = [] } = await handle.fetchHistory();
      return events?.some((event) => event.workflowTaskFailedEventAttributes);
    });
    const back = await cli('migrate', 'forced', '--to', began);
    assert.equal(back.code, 0, back.output);
    await decide('forced');
    assert.equal((await resultOf('forced')).version, 'v4');
    assert.equal((await client.status('forced')).build, began);
  });
});
