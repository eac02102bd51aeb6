import assert from 'node:assert/strict';
import { cp, mkdir, mkdtemp, readdir, readFile, realpath, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';

import { connectTemporal, createAnnealClient, type AnnealClient } from '../../src/client/index.js';
import { loadConfig } from '../../src/config/load-config.js';
import { projectPaths, type ProjectPaths } from '../../src/config/project-paths.js';
import { stopLocalServers } from '../../src/local/local-servers.js';
import { endLocalAttempts } from '../../src/workers/end-local-attempts.js';
import { createDataConverter, openStore } from '../../src/workers/open-store.js';
import { startTemporal, testEnvironment } from '../cli/desk-world.js';
import { openCodeDesk } from './support/code-desk.js';
import { until } from './support/until.js';
import { spawnCli, startWorkerProcess, type CliProcess } from './support/worker-process.js';

const PROJECT = 'shipped';

/** Each run says the version of its pipeline, of its task and of its step's code, and of a sub-pipeline. */
function pipelinesOf(version: string): string {
  return `import { boolean, dataset, definePipeline, defineStep, defineTask, metrics, sleep } from 'anneal';

const say = defineTask<typeof import('./tasks.js').tell>('tell');
const write = defineStep({
  name: 'write',
  code: ['steps/write.mjs', 'steps/lib'],
  inputs: {},
  outputs: { data: dataset(), said: metrics({ version: 'number' }) },
  command: ({ outputs }) => [${JSON.stringify(process.execPath)}, 'write.mjs', outputs.data.path, outputs.said.path],
});

export const part = definePipeline({ name: 'part', params: {} }, async () => ({ version: ${version}, task: await say({}) }));

export const whole = definePipeline({ name: 'whole', params: { long: boolean({ default: false }) } }, async ({ long }) => {
  if (long) await sleep('1h');
  const { said } = await write({});
  const { task } = await part({});
  return { version: ${version}, step: said.values.version, task };
});
`;
}

describe('builds by way of the store', () => {
  let base: string;
  /** Where people write code. */
  let desk: string;
  /** Where workers run: anneal.yaml and nothing else. */
  let machine: string;
  let env: NodeJS.ProcessEnv;
  let client: AnnealClient;
  let close: () => Promise<void>;
  let server: ProjectPaths;
  let worker: CliProcess;

  const code = openCodeDesk(() => ({ root: desk, env }));
  const { cli, deploy } = code;

  const write = async (version: string) => {
    const files = {
      'pipelines/index.ts': pipelinesOf(version),
      'pipelines/tasks.ts': `export async function tell(): Promise<number> { return ${version}; }\n`,
      'steps/lib/version.json': `{ "version": ${version} }\n`,
      'steps/write.mjs':
        "import { readFileSync, writeFileSync } from 'node:fs';\nconst text = readFileSync('version.json', 'utf8');\nwriteFileSync(process.argv[2], text);\nwriteFileSync(process.argv[3], text);\n",
    };
    await code.write(files);
  };
  const run = async () => {
    const { runId } = await client.startRun('whole');
    const { state, result, failure } = await client.wait(runId);
    assert.equal(state, 'completed', failure?.message);
    return result as { version: number; step: number; task: number };
  };

  before(async () => {
    base = await mkdtemp(path.join(await realpath(tmpdir()), 'anneal shipped '));
    [desk, machine] = [path.join(base, 'desk'), path.join(base, 'machine')];
    const config = `project: ${PROJECT}\nactivities: ./pipelines/tasks.ts\nbuilds: store\nstore: ${path.join(base, 'store')}\npools:\n  cpu:\n    slots: 4\n`;
    for (const root of [desk, machine]) {
      await mkdir(root);
      await writeFile(path.join(root, 'anneal.yaml'), config);
    }
    await write('1');
    const local = testEnvironment();
    const servers = { ...(await loadConfig({ cwd: desk, env: local })), root: path.join(base, 'servers') };
    server = projectPaths(servers);
    const address = await startTemporal(server, local);
    env = { ...local, TEMPORAL_ADDRESS: address };
    const paths = projectPaths(servers);
    const connected = await connectTemporal({
      connection: { address },
      namespace: 'default',
      dataConverter: createDataConverter(openStore(paths)),
    });
    client = createAnnealClient({ temporal: connected.client, project: PROJECT, store: openStore(paths) });
    close = async () => await connected.close();
    worker = spawnCli(['worker', '--project', machine], env);
  });
  after(async () => {
    worker.kill('SIGKILL');
    await worker.exited();
    await close();
    const paths = projectPaths(await loadConfig({ cwd: machine, env }));
    await endLocalAttempts(paths, { graceMs: 0 });
    await stopLocalServers({ stateDir: server.stateDir });
    await rm(base, { recursive: true, force: true });
  });

  test('a worker with nothing of the project but anneal.yaml runs pipelines, tasks and steps of what is deployed', async () => {
    assert.match(
      (await cli('run', 'whole')).output,
      /Nothing of project "shipped" was deployed to its store yet/,
    );
    assert.match((await cli('up')).output, /take their builds from the store, not from this directory/);
    const { current } = await deploy();
    assert.deepEqual(await run(), { version: 1, step: 1, task: 1 });
    assert.deepEqual((await readdir(machine)).toSorted(), ['.anneal', 'anneal.yaml']);
    assert.deepEqual(
      (await client.versions.list()).map(({ build, status }) => [build, status]),
      [[current, 'current']],
    );
  });

  test('a trial runs on the same workers, without what it tries becoming current', async () => {
    const [before] = await client.versions.list();
    await write('2');
    const wrong = await cli('run', 'whole', '--remote', '--param', 'lang=true');
    assert.match(wrong.output, /InvalidParameter/);
    const { code, output } = await cli('run', 'whole', '--remote', '--id', 'trial');
    assert.equal(code, 0, output);
    const { result, build } = await client.status('trial');
    assert.deepEqual(result, { version: 2, step: 2, task: 2 });
    assert.notEqual(build, before?.build);
    assert.equal((await client.versions.list())[0]?.build, before?.build);
    assert.deepEqual(await run(), { version: 1, step: 1, task: 1 });
  });

  test('a ramp, its end and a way back need nothing but the store either', async () => {
    const ramped = await deploy('--ramp', '100');
    assert.deepEqual(await run(), { version: 2, step: 2, task: 2 });
    const back = await deploy('--rollback');
    assert.equal(back.current, ramped.current);
    const next = await deploy('--build', (ramped.ramp?.digest ?? '').slice(0, 12));
    assert.deepEqual(next, { current: ramped.ramp?.digest, previous: ramped.current });
    assert.deepEqual(await run(), { version: 2, step: 2, task: 2 });
  });

  test('a worker that starts on a bare machine hosts what is current, and what open runs began with', async () => {
    await client.startRun('whole', { runId: 'old', parameters: { long: true } });
    await until('the run has begun', async () => (await client.status('old')).build !== '');
    await write('3');
    const { current } = await deploy();
    worker.kill('SIGKILL');
    await worker.exited();
    await rm(path.join(machine, '.anneal'), { recursive: true, force: true });
    worker = await startWorkerProcess(machine, env);
    assert.deepEqual(await run(), { version: 3, step: 3, task: 3 });
    const moved = await cli('migrate', 'old', '--force');
    assert.equal(moved.code, 0, moved.output);
    await client.cancel('old');
    assert.equal((await client.wait('old')).state, 'cancelled');
    const builds = await readdir(path.join(machine, '.anneal', 'build'));
    assert.equal(builds.filter((name) => /^[0-9a-f]{64}$/.test(name)).length, 2);
    assert.match(
      await readFile(path.join(machine, '.anneal', 'build', 'current'), 'utf8'),
      new RegExp(current),
    );
  });

  test('a build whose bytes are not what its digest says is not hosted, and what was current goes on', async () => {
    const store = path.join(base, 'store');
    await write('4');
    const { digest } = (await cli('build', '--json')).document() as { digest: string };
    const kept = path.join(desk, '.anneal', 'build', digest);
    const stored = path.join(store, 'builds', digest);
    await cp(kept, stored, { recursive: true });
    const file = path.join(stored, 'workflows.js');
    await writeFile(file, (await readFile(file, 'utf8')).replace('long', 'lang'));
    const routing = path.join(store, 'deployments', PROJECT, 'routing');
    const last = (await readdir(routing)).length;
    const [current] = await client.versions.list();
    await writeFile(
      path.join(routing, `${String(last + 1).padStart(8, '0')}.json`),
      JSON.stringify({ version: 1, current: digest, previous: current?.build, atMs: 0 }),
    );
    await until('it is said', () => /new builds are not taken up: Build \w{12} is /.test(worker.output()));
    assert.deepEqual(await run(), { version: 3, step: 3, task: 3 });
    await deploy('--rollback');
    assert.deepEqual(await run(), { version: 3, step: 3, task: 3 });
  });
});
