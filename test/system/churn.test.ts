import assert from 'node:assert/strict';
import { cp, mkdtemp, readFile, realpath, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { createFileStore } from '../../src/adapters/file-store/create-file-store.js';
import { runProgram, type ProgramResult } from '../../src/adapters/run-program.js';
import type { CacheExplanation } from '../../src/client/index.js';
import type { RunStatus } from '../../src/core/run.js';
import { stopLocalServers } from '../../src/local/local-servers.js';
import { recordedMessages } from './support/recorded-messages.js';

const repository = fileURLToPath(new URL('../..', import.meta.url));
const python = process.env['ANNEAL_TEST_PYTHON'];
const temporal = process.env['ANNEAL_TEST_TEMPORAL'];
const missing = [
  python === undefined ? 'ANNEAL_TEST_PYTHON' : '',
  temporal === undefined ? 'ANNEAL_TEST_TEMPORAL' : '',
].filter((name) => name !== '');

/** The churn example in a copy of its own, on its own servers, through the command line: what a newcomer does first. */
describe(
  'the churn example',
  { skip: missing.length > 0 ? `${missing.join(' and ')} not set` : false },
  () => {
    let project = '';
    let env: NodeJS.ProcessEnv = {};

    before(async () => {
      project = await mkdtemp(path.join(await realpath(tmpdir()), 'anneal-churn-'));
      await cp(path.join(repository, 'examples', 'churn'), path.join(project, 'examples', 'churn'), {
        recursive: true,
      });
      await cp(path.join(repository, 'anneal.yaml'), path.join(project, 'anneal.yaml'));
      const { TEMPORAL_ADDRESS: _address, MLFLOW_TRACKING_URI: _uri, ...rest } = process.env;
      env = { ...rest, CI: 'true', NO_COLOR: '1', ANNEAL_TEMPORAL_CLI: temporal };
    });

    after(async () => {
      await anneal('down');
      await stopLocalServers({ stateDir: path.join(project, '.anneal', 'local') });
      await rm(project, { recursive: true, force: true });
    });

    const anneal = async (...args: string[]): Promise<ProgramResult> =>
      await runProgram({
        file: process.execPath,
        args: [path.join(repository, 'dist', 'cli', 'main.js'), ...args],
        cwd: project,
        env,
        timeoutMs: 300_000,
      });

    const describeRun = async (runId: string): Promise<RunStatus> => {
      const { stdout, stderr, code } = await anneal('describe', runId, '--json');
      assert.equal(code, 0, stderr);
      return JSON.parse(stdout) as RunStatus;
    };

    test('one command trains, gates, registers and promotes a real model, says where everything is, and exits', async () => {
      const { code, stdout, stderr } = await anneal('start', '--exit');
      assert.equal(code, 0, stdout + stderr);
      assert.match(stdout, /register churn-predictor.*churn-predictor version 1/);
      assert.match(stdout, /version 1 is champion/);
      assert.match(stdout, /Seconds per step: ingest/);
      assert.match(stdout, /mlflow\.pyfunc\.load_model\("models:\/churn-predictor@champion"\)/);
      for (const link of [
        /Temporal http:\/\/127\.0\.0\.1:\d+\/namespaces\/default\/workflows\//,
        /MLflow +http:\/\/127\.0\.0\.1:\d+\/#\/experiments\//,
        /Model +http:\/\/.*\/models\/churn-predictor\/versions\/1/,
      ])
        assert.match(stdout, link);
      assert.doesNotMatch((await anneal('list')).stderr, /stack/i);
    });

    test('the champion, loaded in Python, judges the held-out customers as the gate did', async () => {
      assert.equal((await anneal('up')).code, 0);
      const [run] = JSON.parse((await anneal('list', '--json')).stdout) as { readonly runId: string }[];
      assert.ok(run);
      const status = await describeRun(run.runId);
      const { f1 } = status.result as { readonly f1: number };
      const store = createFileStore({ root: path.join(project, '.anneal', 'local', 'store') });
      const features = status.calls.find(({ name }) => name === 'compute-features');
      const held = path.join(project, 'held-out.parquet');
      await store.fetchFile(
        `runs/${status.executionId}/attempts/${features?.attemptName ?? ''}/outputs/test`,
        held,
      );
      const state = JSON.parse(
        await readFile(path.join(project, '.anneal', 'local', 'mlflow.json'), 'utf8'),
      ) as { readonly port?: number; readonly ports?: { readonly port: number } };
      const port = state.port ?? state.ports?.port;
      const predicted = await runProgram({
        file: python ?? '',
        args: [
          path.join(project, 'examples/churn/steps/predict_champion.py'),
          '--uri',
          'models:/churn-predictor@champion',
          '--test',
          held,
        ],
        cwd: path.join(project, 'examples/churn/steps'),
        env: { ...env, MLFLOW_TRACKING_URI: `http://127.0.0.1:${port}` },
        timeoutMs: 120_000,
      });
      assert.equal(predicted.code, 0, predicted.stderr);
      const metrics = JSON.parse(predicted.stdout.trim().split('\n').at(-1) ?? '') as { readonly f1: number };
      assert.equal(metrics.f1, f1);
      assert.ok(f1 > 0.93 && f1 < 0.97, `F1 is ${f1}`);
    });

    test('a model below the gate is not registered: the run ends as not-promoted, the champion stays, people are told', async () => {
      const { code, stdout } = await anneal(
        'run',
        'churn-training',
        '--param',
        'table=wa_churn',
        '--id',
        'weak',
        '--wait',
      );
      assert.equal(code, 0, stdout);
      assert.match(stdout, /not-promoted/);
      const status = await describeRun('weak');
      assert.equal(status.state, 'not-promoted');
      const { reason, f1 } = status.result as { readonly reason: string; readonly f1: number };
      assert.match(reason, /^F1 0\.\d{3} < 0\.85; champion stays v1$/);
      assert.ok(f1 > 0.76 && f1 < 0.85, `F1 is ${f1}`);
      assert.ok(!status.calls.some(({ name }) => name.startsWith('register')));
      const store = createFileStore({ root: path.join(project, '.anneal', 'local', 'store') });
      const told = await recordedMessages(store, status.executionId);
      assert.equal(told.length, 1);
      assert.match(told[0] ?? '', /ml-alerts@company\.com/);
      assert.match(told[0] ?? '', /metric +challenger +champion/);
    });

    test('the sweep trains at several depths at once and promotes the best', async () => {
      const { code, stdout, stderr } = await anneal('run', 'churn-sweep', '--id', 'sweep', '--wait');
      assert.equal(code, 0, stdout + stderr);
      const status = await describeRun('sweep');
      assert.equal(status.calls.filter(({ name }) => name.startsWith('train-depth-')).length, 3);
      assert.deepEqual((status.result as { readonly version: number }).version, 2);
    });

    test('an unchanged step is answered from the cache, and not with --no-cache', async () => {
      const features = async (runId: string, ...more: string[]) => {
        const { code, stderr } = await anneal(
          ...['run', 'churn-training', '--param', 'threshold=1', '--id', runId, '--wait', ...more],
        );
        assert.equal(code, 0, stderr);
        return (await describeRun(runId)).calls.find(({ name }) => name === 'compute-features')?.state;
      };
      assert.equal(await features('again'), 'cached');
      assert.equal(await features('afresh', '--no-cache'), 'succeeded');
    });

    test('one changed line of features.py runs again what follows it and nothing else, and why names the file', async () => {
      const file = path.join(project, 'examples/churn/steps/features.py');
      const original = await readFile(file, 'utf8');
      await writeFile(file, `${original}\n# a line more\n`);
      try {
        assert.equal((await anneal('up')).code, 0);
        const { code, stderr } = await anneal(
          ...['run', 'churn-training', '--param', 'threshold=1', '--id', 'edited', '--wait'],
        );
        assert.equal(code, 0, stderr);
        const { calls } = await describeRun('edited');
        const states = calls.filter(({ kind }) => kind === 'step').map(({ name, state }) => [name, state]);
        assert.deepEqual(Object.fromEntries(states), {
          ingest: 'cached',
          'validate-data': 'cached',
          'compute-features': 'succeeded',
          'train-model': 'succeeded',
          'evaluate-model': 'succeeded',
        });
        const explained = await anneal('cache', 'why', 'edited', 'compute-features', '--json');
        assert.equal(explained.code, 0, explained.stderr);
        const [why] = JSON.parse(explained.stdout) as CacheExplanation[];
        assert.equal(why?.verdict, 'miss');
        assert.deepEqual(
          why?.changes?.map(({ part }) => part),
          ['code features.py'],
        );
        assert.match((await anneal('cache', 'list', '--step', 'ingest')).stdout, /^STEP .*\ningest /);
      } finally {
        await writeFile(file, original);
        await anneal('up');
      }
    });

    test('data that breaks expectations fails the run with the list of them', async () => {
      const steps = path.join(project, 'examples/churn/steps/ingest.py');
      const original = await readFile(steps, 'utf8');
      const broken = original.replace(
        'if __name__ == "__main__":',
        'BROKEN = True\n\nif __name__ == "__main__":',
      );
      assert.notEqual(broken, original);
      await writeFile(
        steps,
        `${broken}\n    import argparse, pandas\n    p = argparse.ArgumentParser(); p.add_argument("--table"); p.add_argument("--output"); a = p.parse_args()\n    pandas.read_parquet(a.output).head(200).to_parquet(a.output)\n`,
      );
      try {
        assert.equal((await anneal('up')).code, 0);
        const { code, stdout, stderr } = await anneal('run', 'churn-training', '--id', 'few-rows', '--wait');
        assert.equal(code, 1, stdout + stderr);
        const status = await describeRun('few-rows');
        assert.equal(status.state, 'failed');
        assert.equal(status.failure?.code, 'StepRefused');
        assert.match(stdout + stderr, /rows/);
      } finally {
        await writeFile(steps, original);
      }
    });
  },
);
