import assert from 'node:assert/strict';
import { access, cp, mkdtemp, readdir, readFile, realpath, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { runProgram, type ProgramResult } from '../../src/adapters/run-program.js';
import { createS3Store } from '../../src/adapters/s3-store/create-s3-store.js';
import type { ArtifactStore } from '../../src/core/artifact-store.js';
import type { Manifest } from '../../src/core/artifacts.js';
import type { RunStatus } from '../../src/core/run.js';
import { stopLocalServers } from '../../src/local/local-servers.js';
import { s3Program, startS3Server } from '../store/s3-server.js';
import type { S3Server } from '../store/s3-server.js';
import { recordedMessages } from './support/recorded-messages.js';

const repository = fileURLToPath(new URL('../..', import.meta.url));
const missing = ['ANNEAL_TEST_PYTHON', 'ANNEAL_TEST_TEMPORAL', 'ANNEAL_TEST_S3'].filter(
  (name) => process.env[name] === undefined,
);

/** The churn example with its store in a bucket: through the command line, on real servers. */
describe(
  'a project with its store in S3',
  { skip: missing.length > 0 ? `${missing.join(' and ')} not set` : false },
  () => {
    let s3: S3Server;
    let project = '';
    let env: NodeJS.ProcessEnv = {};
    let store: ArtifactStore;

    before(async () => {
      assert.ok(s3Program);
      s3 = await startS3Server();
      project = await mkdtemp(path.join(await realpath(tmpdir()), 'anneal-s3-churn-'));
      await cp(path.join(repository, 'examples', 'churn'), path.join(project, 'examples', 'churn'), {
        recursive: true,
      });
      const settings = await readFile(path.join(repository, 'anneal.yaml'), 'utf8');
      await writeFile(
        path.join(project, 'anneal.yaml'),
        `${settings}\nstore: s3://${s3.bucket}/teams/churn\n`,
      );
      const { TEMPORAL_ADDRESS: _address, MLFLOW_TRACKING_URI: _uri, ...rest } = process.env;
      env = {
        ...rest,
        ...s3.env,
        CI: 'true',
        NO_COLOR: '1',
        ANNEAL_TEMPORAL_CLI: process.env['ANNEAL_TEST_TEMPORAL'],
      };
      const ingest = path.join(project, 'examples/churn/steps/ingest.py');
      const seen =
        'sorted(name for name in os.environ if name.startswith("AWS") or name.startswith("MLFLOW_S3"))';
      await writeFile(ingest, `import os\nprint("seen:", ${seen})\n${await readFile(ingest, 'utf8')}`);
      store = createS3Store({ ...s3.storeOptions(), root: `s3://${s3.bucket}/teams/churn` });
    });

    after(async () => {
      await anneal('down');
      await stopLocalServers({ stateDir: path.join(project, '.anneal', 'local') });
      await s3.stop();
      await rm(project, { recursive: true, force: true });
    });

    const anneal = async (...args: string[]): Promise<ProgramResult> => await annealWith(env, ...args);
    const annealWith = async (variables: NodeJS.ProcessEnv, ...args: string[]): Promise<ProgramResult> =>
      await runProgram({
        file: process.execPath,
        args: [path.join(repository, 'dist', 'cli', 'main.js'), ...args],
        cwd: project,
        env: variables,
        timeoutMs: 300_000,
      });
    const describeRun = async (runId: string): Promise<RunStatus> =>
      JSON.parse((await anneal('describe', runId, '--json')).stdout) as RunStatus;

    test('one command trains, gates, registers and promotes a model whose bytes are in the bucket', async () => {
      const { code, stdout, stderr } = await anneal('start', '--exit');
      assert.equal(code, 0, stdout + stderr);
      assert.match(stdout, /version 1 is champion/);
      assert.equal((await anneal('up')).code, 0);
      const [run] = JSON.parse((await anneal('list', '--json')).stdout) as { readonly runId: string }[];
      const status = await describeRun(run?.runId ?? '');
      assert.equal(status.state, 'completed');
      const at = `runs/${status.executionId}/`;
      const keys: string[] = [];
      for await (const { key } of store.list(at)) keys.push(key);
      assert.ok(keys.includes(`${at}run.json`), 'the record of the run');
      assert.ok(keys.some((key) => key.endsWith('/manifest.json')));
      const train = status.calls.find(({ name }) => name.startsWith('train'));
      const manifest = JSON.parse(
        Buffer.from(
          (await store.readBytes(`${at}attempts/${train?.attemptName ?? ''}/manifest.json`)) ?? [],
        ).toString(),
      ) as Manifest;
      const model = Object.values(manifest.outputs).find(({ kind }) => kind === 'Model');
      assert.ok(model?.uri.startsWith(`s3://${s3.bucket}/teams/churn/runs/`), model?.uri);
      await assert.rejects(access(path.join(project, '.anneal', 'local', 'store')), /ENOENT/);
    });

    test('an unchanged step is answered from the cache in the bucket, and a model below the gate is told about there', async () => {
      const { code, stdout, stderr } = await anneal(
        ...['run', 'churn-training', '--param', 'threshold=1', '--id', 'again', '--wait'],
      );
      assert.equal(code, 0, stdout + stderr);
      const status = await describeRun('again');
      assert.equal(status.state, 'not-promoted');
      assert.equal(status.calls.find(({ name }) => name === 'compute-features')?.state, 'cached');
      assert.equal((await recordedMessages(store, status.executionId)).length, 1);
    });

    test('no credential of the store reaches a step or anything that is written', async () => {
      const runs = JSON.parse((await anneal('list', '--json')).stdout) as { readonly runId: string }[];
      assert.match((await anneal('logs', runs.at(-1)?.runId ?? '', 'ingest')).stdout, /seen: \[\]/);
      const { secretAccessKey } = s3.credentials;
      for await (const { key } of store.list(''))
        assert.ok(!Buffer.from((await store.readBytes(key)) ?? []).includes(secretAccessKey), key);
      const local = path.join(project, '.anneal', 'local');
      for (const entry of await readdir(local, { recursive: true, withFileTypes: true }))
        if (entry.isFile())
          assert.ok(
            !(await readFile(path.join(entry.parentPath, entry.name))).includes(secretAccessKey),
            entry.name,
          );
    });

    test('doctor looks at the bucket, and a worker does not start on one that does not exist', async () => {
      const look = async (variables: NodeJS.ProcessEnv) => (await annealWith(variables, 'doctor')).stdout;
      assert.match(await look(env), /Store.*s3:\/\/anneal-tests\/teams\/churn can be written/);
      assert.match(
        await look({ ...env, AWS_SECRET_ACCESS_KEY: 'wrong' }),
        /Store.*does not accept the credentials \(SignatureDoesNotMatch/,
      );
      assert.match(await look({ ...env, AWS_ENDPOINT_URL_S3: 'http://127.0.0.1:1' }), /Store.*ECONNREFUSED/);
      const file = path.join(project, 'anneal.yaml');
      const settings = await readFile(file, 'utf8');
      await writeFile(file, settings.replace(s3.bucket, 'no-such-bucket'));
      assert.match(await look(env), /Store.*there is no such bucket\. Create it/);
      const { code, stdout, stderr } = await anneal('up');
      assert.notEqual(code, 0);
      assert.match(stdout + stderr, /there is no such bucket\. Create it/);
      await writeFile(file, settings);
    });
  },
);
