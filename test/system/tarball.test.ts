import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { runProgram, type ProgramResult } from '../../src/adapters/run-program.js';

const repository = fileURLToPath(new URL('../..', import.meta.url));
const npmLimitMs = 300_000;
const cliLimitMs = 120_000;

/** What a user writes: a pipeline with a shell step and a Python step, and a program that asks through the client. */
const projectFiles = {
  'package.json': JSON.stringify({ name: 'forecast', private: true, type: 'module' }),
  'anneal.yaml': 'project: forecast\npipelines: pipelines/index.ts\npools:\n  cpu: { slots: 2 }\n',
  'tsconfig.json': JSON.stringify({
    compilerOptions: { target: 'es2023', module: 'nodenext', strict: true, noEmit: true, types: [] },
    include: ['pipelines'],
  }),
  'pipelines/index.ts': `import { dataset, definePipeline, defineStep, integer, metrics } from 'anneal';

const collect = defineStep({
  name: 'collect',
  inputs: { rows: integer({ min: 1 }) },
  outputs: { data: dataset() },
  command: ({ inputs, outputs }) => ['sh', '-c', 'seq "$1" > "$2"', 'sh', inputs.rows, outputs.data.path],
});

const measure = defineStep({
  name: 'measure',
  code: 'steps/measure.py',
  inputs: { data: dataset() },
  outputs: { metrics: metrics({ total: 'number' }) },
  command: ({ inputs, outputs }) => ['python3', 'measure.py', inputs.data.path, outputs.metrics.path],
});

export const forecast = definePipeline({ name: 'forecast', params: { rows: integer({ min: 1, default: 10 }) } }, async ({ rows }) => {
  const { data } = await collect({ rows });
  const { metrics } = await measure({ data });
  return { total: metrics.values.total };
});
`,
  'steps/measure.py': `import json, sys
numbers = [int(line) for line in open(sys.argv[1])]
json.dump({"total": sum(numbers)}, open(sys.argv[2], "w"))
`,
  'list-exports.mjs': `import { defineStep } from 'anneal';
import { createAnnealClient, connectTemporal } from 'anneal/client';
import { runPipeline } from 'anneal/testing';
const all = [defineStep, createAnnealClient, connectTemporal, runPipeline];
console.log(all.every((one) => typeof one === 'function'));
`,
};

describe('the package from a tarball, in a project of its own', () => {
  let directory = '';
  let project = '';
  /** No server of the shell's; the tools that the suite found. */
  const env: NodeJS.ProcessEnv = Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^(TEMPORAL_|MLFLOW_|npm_|NODE_)/.test(name)),
  );
  const succeed = async (
    args: readonly string[],
    options: { readonly cwd: string; readonly timeoutMs: number },
  ) => {
    const result = await runProgram({ file: 'npm', args, env, ...options });
    assert.equal(result.code, 0, `npm ${args.join(' ')}\n${result.stdout}\n${result.stderr}`);
    return result.stdout;
  };
  // What npx does, without asking a registry for a name that is not installed.
  const anneal = async (...args: string[]): Promise<ProgramResult> =>
    await runProgram({
      file: path.join(project, 'node_modules', '.bin', 'anneal'),
      args,
      cwd: project,
      env,
      timeoutMs: cliLimitMs,
    });

  before(async () => {
    if (process.env['ANNEAL_TEST_TEMPORAL']) env['ANNEAL_TEMPORAL_CLI'] = process.env['ANNEAL_TEST_TEMPORAL'];
    if (process.env['ANNEAL_TEST_MLFLOW']) env['ANNEAL_MLFLOW_CLI'] = process.env['ANNEAL_TEST_MLFLOW'];
    directory = await mkdtemp(path.join(tmpdir(), 'anneal tarball '));
    project = path.join(directory, 'forecast');
    for (const [name, text] of Object.entries(projectFiles)) {
      await mkdir(path.dirname(path.join(project, name)), { recursive: true });
      await writeFile(path.join(project, name), text);
    }
    const pack = ['pack', '--workspaces', '--include-workspace-root', '--ignore-scripts'];
    await succeed([...pack, '--pack-destination', directory], { cwd: repository, timeoutMs: npmLimitMs });
    const tarballs = (await readdir(directory)).filter((name) => name.endsWith('.tgz'));
    const install = ['install', '--prefer-offline', '--no-audit', '--no-fund', '--ignore-scripts'];
    await succeed([...install, ...tarballs.map((name) => path.join(directory, name))], {
      cwd: project,
      timeoutMs: npmLimitMs,
    });
  });
  after(async () => {
    await anneal('down');
    await rm(directory, { recursive: true, force: true });
  });

  test('compiles with the types of the package alone', async () => {
    const tsc = path.join(repository, 'node_modules', 'typescript', 'bin', 'tsc');
    const { code, stdout } = await runProgram({
      file: process.execPath,
      args: [tsc, '-p', project],
      timeoutMs: cliLimitMs,
    });
    assert.equal(code, 0, stdout);
  });

  test('imports the package, its client and its testing kit', async () => {
    const { stdout, stderr } = await runProgram({
      file: process.execPath,
      args: ['list-exports.mjs'],
      cwd: project,
      env,
      timeoutMs: cliLimitMs,
    });
    assert.equal(stdout.trim(), 'true', stderr);
  });

  test('builds, starts its own servers and runs its own pipeline', async () => {
    const up = await anneal('up', '--json');
    assert.equal(up.code, 0, up.stderr);
    const run = await anneal('run', 'forecast', '--param', 'rows=4', '--wait', '--json');
    assert.equal(run.code, 0, run.stdout + run.stderr);
    const report = JSON.parse(run.stdout) as { readonly state: string; readonly result: unknown };
    assert.equal(report.state, 'completed');
    assert.deepEqual(report.result, { total: 10 });
  });
});
