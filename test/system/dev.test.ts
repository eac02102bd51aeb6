import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readFile, realpath, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';

import { testEnvironment } from '../cli/desk-world.js';
import { writeDeskProject } from '../cli/desk-project.js';
import { spawnCli } from './support/worker-process.js';
import { until } from './support/until.js';

const skip = process.env['ANNEAL_TEST_MLFLOW'] === undefined && 'there is no MLflow (ANNEAL_TEST_MLFLOW)';

test(
  'anneal dev makes changed code current, leaves open runs on their build and keeps the last good build',
  { skip },
  async (t) => {
    const root = await mkdtemp(path.join(await realpath(tmpdir()), 'anneal dev '));
    await writeDeskProject(root);
    const env = { ...testEnvironment(), ANNEAL_MLFLOW_CLI: process.env['ANNEAL_TEST_MLFLOW'] };
    const dev = spawnCli(['dev', '--project', root], env);
    t.after(async () => {
      dev.kill('SIGKILL');
      await dev.exited();
      await spawnCli(['down', '--project', root], env).exited();
      await rm(root, { recursive: true, force: true });
    });
    const cli = async (...args: string[]) => {
      const program = spawnCli([...args, '--json', '--project', root], env);
      await program.exited();
      return JSON.parse(program.document()) as Record<string, unknown>;
    };
    const said = async (what: RegExp) =>
      await until(`dev says ${what.source}`, () => what.test(dev.output()) || undefined);
    const pipelines = path.join(root, 'pipelines/index.ts');
    const source = await readFile(pipelines, 'utf8');
    const builds = () => [...dev.output().matchAll(/Build (\w{12}) is current/g)].map((match) => match[1]);

    await said(/Ready: quick/);
    const control = path.join(root, 'control');
    await mkdir(control);
    await cli('run', 'talks', '--param', `control=${control}`, '--id', 'open');
    await until('the run is open on its build', async () => {
      const { calls } = await cli('describe', 'open');
      return (calls as { state: string }[])[0]?.state === 'running';
    });

    await writeFile(pipelines, source.replace('echo "writes', 'echo "now writes'));
    await until('the change is current', () => builds().length === 1);
    const changed = await cli('run', 'quick', '--wait');
    const open = await cli('describe', 'open');
    assert.equal(String(changed['build']).slice(0, 12), builds()[0]);
    assert.notEqual(open['build'], changed['build']);

    await writeFile(pipelines, source.replace('export const quick = ', 'export const quick = = '));
    await said(/pipelines\/index\.ts:\d+:\d+: Unexpected "="\.\nThe last good build stays current/);
    // Who starts a run by hand means the code on disk, so that is refused; schedules go on with the last good build.
    const refused = (await cli('run', 'quick', '--wait'))['error'] as { readonly code: string };
    assert.equal(refused.code, 'BuildFailed');
    assert.equal(builds().length, 1);

    await writeFile(pipelines, source);
    await until('the code that was changed back is current', () => builds().length === 2);
    assert.equal((await cli('run', 'quick', '--wait'))['build'], open['build']);
    await writeFile(path.join(control, 'finish'), '');
    await until('the open run ends on its build', async () => {
      const report = await cli('describe', 'open');
      return report['state'] === 'completed' && report['build'] === open['build'];
    });
    dev.kill('SIGINT');
    assert.equal((await dev.exited()).code, 0, dev.output());
  },
);
