import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, readFile, realpath, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { runProgram } from '../../src/adapters/run-program.js';
import { stopLocalServers } from '../../src/local/local-servers.js';
import { makeCurrent } from '../../src/workers/current-build.js';
import { startTemporal, testEnvironment } from '../cli/desk-world.js';
import { spawnCli, startWorkerProcess, type CliProcess } from './support/worker-process.js';

const repository = fileURLToPath(new URL('../..', import.meta.url));
const skip = process.env['ANNEAL_TEST_PYTHON'] === undefined && 'there is no Python (ANNEAL_TEST_PYTHON)';

const SCRIPT = `import argparse
import json
import sys
from pathlib import Path

parser = argparse.ArgumentParser()
parser.add_argument("--learning-rate", "-l", type=float, default=0.1)
parser.add_argument("--rounds", type=int, default=3)
parser.add_argument("--kind", choices=["tree", "line"], default="tree")
parser.add_argument("--verbose", action="store_true")
parser.add_argument("--note")
parser.add_argument("--model-dir", required=True)
parser.add_argument("--metrics", default="metrics.json")
args = parser.parse_args()
print("arguments", sys.argv[1:-4])
Path(args.model_dir).mkdir(parents=True, exist_ok=True)
Path(args.model_dir, "model.txt").write_text(args.kind)
Path(args.metrics).write_text(json.dumps({"score": args.learning_rate * args.rounds, "quiet": int(args.note is None)}))
`;

const cell = (source: readonly string[], tags: readonly string[] = []) => ({
  cell_type: 'code',
  execution_count: null,
  id: `c${source.length}${tags.length}`,
  metadata: { tags },
  outputs: [],
  source,
});

const NOTEBOOK = JSON.stringify({
  cells: [
    cell(
      ['rate = 0.5  # of learning\n', "name = 'first try'\n", 'deep = False\n', 'rounds = 2\n'],
      ['parameters'],
    ),
    cell(["print('product', rate * rounds, name, deep)"]),
  ],
  // Saved by a kernel that nobody else has.
  metadata: { kernelspec: { name: 'venv-of-somebody', display_name: 'mine', language: 'python' } },
  nbformat: 4,
  nbformat_minor: 5,
});

describe('a project made by anneal init', { skip }, () => {
  let directory = '';
  let env: NodeJS.ProcessEnv = {};
  const workers: CliProcess[] = [];
  const stateDir = () => path.join(directory, 'state');

  before(async () => {
    directory = await mkdtemp(path.join(await realpath(tmpdir()), 'anneal init '));
    await mkdir(stateDir());
    const own = testEnvironment();
    env = { ...own, TEMPORAL_ADDRESS: await startTemporal({ stateDir: stateDir() }, own) };
  });
  after(async () => {
    for (const worker of workers) {
      worker.kill('SIGTERM');
      await worker.exited();
    }
    await stopLocalServers({ stateDir: stateDir() });
    await rm(directory, { recursive: true, force: true });
  });

  const succeed = async (...args: string[]) => {
    const program = spawnCli(args, env);
    const { code } = await program.exited();
    assert.equal(code, 0, `${args.join(' ')}\n${program.output()}`);
    return JSON.parse(program.document()) as Record<string, unknown>;
  };

  /** Makes a project with this package as its dependency; it compiles, builds without a warning and passes its own tests. */
  const make = async (name: string, from?: { readonly file: string; readonly text: string }) => {
    const root = path.join(directory, name);
    const source = from && path.join(directory, from.file);
    if (from && source) await writeFile(source, from.text);
    await succeed('init', root, '--json', ...(source === undefined ? [] : ['--from', source]));
    await mkdir(path.join(root, 'node_modules', '@types'), { recursive: true });
    await symlink(repository, path.join(root, 'node_modules', 'anneal'));
    for (const dependency of ['tsx', '@types/node'])
      await symlink(
        path.join(repository, 'node_modules', dependency),
        path.join(root, 'node_modules', dependency),
      );
    const { code, stdout } = await runProgram({
      file: process.execPath,
      args: [path.join(repository, 'node_modules', 'typescript', 'bin', 'tsc'), '-p', root],
      timeoutMs: 60_000,
    });
    assert.equal(code, 0, stdout);
    const build = await succeed('build', '--json', '--project', root);
    assert.deepEqual(build['warnings'], []);
    await makeCurrent(path.join(root, '.anneal', 'build'), String(build['digest']));
    const tests = await runProgram({
      file: process.execPath,
      args: ['--import', 'tsx', '--test', 'test/training.test.ts'],
      cwd: root,
      env,
      timeoutMs: 60_000,
    });
    assert.equal(tests.code, 0, tests.stdout + tests.stderr);
    return root;
  };
  /** A run, by a worker that was started for it. */
  const run = async (root: string, ...params: string[]) => {
    const worker = await startWorkerProcess(root, env);
    workers.push(worker);
    const args = ['run', 'training', '--wait', '--json', '--project', root];
    const report = await succeed(...args, ...params.flatMap((param) => ['--param', param]));
    assert.equal(report['state'], 'completed');
    const logs = spawnCli(['logs', String(report['runId']), '--project', root], env);
    await logs.exited();
    return { report, logs: logs.document() };
  };
  /** Where a run's output lies, as its files. */
  const findOutput = async (root: string, name: string) => {
    const store = path.join(root, '.anneal', 'local', 'store');
    const found = (await readdir(store, { recursive: true })).find((file) =>
      file.includes(`outputs${path.sep}${name}`),
    );
    assert.ok(found, `no output ${name}`);
    return path.join(store, found);
  };

  test('type-checks, builds without a warning, passes its own test and runs', async () => {
    const root = await make('starter');
    const { report } = await run(root, 'epochs=300');
    assert.equal((report['result'] as { promoted: boolean }).promoted, true);
  });

  test('from a script passes its arguments and takes its outputs', async () => {
    const root = await make('from-script', { file: 'fit.py', text: SCRIPT });
    const { logs } = await run(root, 'kind=line', 'learningRate=0.25', 'verbose=true');
    assert.match(
      logs,
      /arguments \['--learning-rate', '0\.25', '--rounds', '3', '--kind', 'line', '--verbose'\]/,
    );
    assert.deepEqual(JSON.parse(await readFile(await findOutput(root, 'metrics'), 'utf8')), {
      score: 0.75,
      quiet: 1,
    });
  });

  test('from a notebook runs it with papermill and keeps the executed notebook', async () => {
    const root = await make('from-notebook', { file: 'explore.ipynb', text: NOTEBOOK });
    const { logs } = await run(root, 'rounds=7', 'name=it is 1', 'deep=true');
    assert.match(logs, /product 3\.5 it is 1 True/);
    const executed = await readFile(await findOutput(root, 'notebook'), 'utf8');
    assert.match(executed, /product 3\.5 it is 1 True/);
    assert.match(executed, /injected-parameters/);
  });
});
