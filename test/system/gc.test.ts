import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, realpath, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { TestWorkflowEnvironment } from '@temporalio/testing';
import { openProject } from '../../src/cli/open-project.js';
import { runCli } from '../../src/cli/run-cli.js';

const temporalCli = process.env['ANNEAL_TEST_TEMPORAL'];
const LONG_AGO = new Date(Date.now() - 200 * 86_400_000);

describe(
  'anneal gc and anneal hold',
  { skip: temporalCli === undefined ? 'ANNEAL_TEST_TEMPORAL is not set' : false, timeout: 60_000 },
  () => {
    let server: TestWorkflowEnvironment;
    let root = '';

    before(async () => {
      server = await TestWorkflowEnvironment.createLocal({
        server: { executable: { type: 'existing-path', path: temporalCli ?? '' } },
      });
      root = await mkdtemp(path.join(await realpath(tmpdir()), 'anneal-gc-'));
      await writeFile(
        path.join(root, 'anneal.yaml'),
        'project: shop\nretention: { age: 30d, keepLast: 1 }\n',
      );
      for (const n of [1, 2, 3]) await putRun(n, 'shop');
    });
    after(async () => {
      await server.teardown();
      await rm(root, { recursive: true, force: true });
    });

    async function putRun(n: number, project: string): Promise<void> {
      const folder = path.join(root, `.anneal/local/store/runs/e${n}`);
      const output = path.join(folder, 'attempts/a/outputs');
      await mkdir(output, { recursive: true });
      const endedAtMs = LONG_AGO.getTime() + n;
      const record = {
        runId: `run-${n}`,
        executionId: `e${n}`,
        pipeline: 'p',
        project,
        endedAtMs,
        calls: [],
      };
      await writeFile(path.join(output, 'data'), 'x'.repeat(2_048));
      await writeFile(path.join(folder, 'run.json'), JSON.stringify(record));
      for (const file of [path.join(output, 'data'), path.join(folder, 'run.json')])
        await utimes(file, LONG_AGO, LONG_AGO);
    }

    async function anneal(...argv: string[]) {
      let [out, err] = ['', ''];
      const env = { TEMPORAL_ADDRESS: server.address };
      const exitCode = await runCli(argv, {
        stdout: { write: (text) => (out += text) },
        stderr: { write: (text) => (err += text) },
        env,
        cwd: root,
        nowMs: () => Date.now(),
        openProject,
        interruptible: async (work) => await work(new AbortController().signal),
      });
      return { exitCode, out, err };
    }

    const kept = async () => (await readdir(path.join(root, '.anneal/local/store/runs'))).toSorted();

    test('shows what would go, and removes it only when it is told to', async () => {
      const held = await anneal('hold', 'add', 'run-1', '--reason', 'case');
      assert.equal(held.exitCode, 0, held.err);
      assert.match((await anneal('hold', 'list')).out, /run-1 +1 .*case/);
      const dry = await anneal('gc', '--dry-run');
      assert.match(dry.out, /run-2 +p .*everything +2\.1 KiB/);
      assert.doesNotMatch(dry.out, /run-[13]/);
      assert.match(dry.out, /2 runs are kept: 1 held, 1 the newest of their pipelines/);
      const unasked = await anneal('gc');
      assert.equal(unasked.exitCode, 2);
      assert.match(unasked.err, /--yes to remove, or --dry-run/);
      assert.deepEqual(await kept(), ['e1', 'e2', 'e3']);
      const removed = await anneal('gc', '--yes', '--json');
      assert.equal(removed.exitCode, 0, removed.err);
      assert.equal((JSON.parse(removed.out) as { removed: { objects: number } }).removed.objects, 2);
      assert.deepEqual(await kept(), ['e1', 'e3']);
    });

    test('decides anew about what is held no more', async () => {
      assert.equal((await anneal('hold', 'remove', 'run-1')).exitCode, 0);
      assert.match((await anneal('gc', '--yes')).out, /Removed 2 objects \(2\.1 KiB\) of 1 run/);
      assert.deepEqual(await kept(), ['e3']);
      assert.match((await anneal('gc', '--yes')).out, /^Nothing is to be removed\. 1 run is kept/);
    });

    test('says what is wrong with a hold or a store that cannot be cleaned', async () => {
      assert.match((await anneal('hold', 'add', 'nobody')).err, /^RunNotFound: There is no run "nobody"/);
      assert.match((await anneal('hold', 'remove', 'nobody')).err, /There is no hold on run "nobody"/);
      assert.match((await anneal('hold', 'add', 'model:m')).err, /no version of model "m"/);
      await putRun(9, 'other');
      const refused = await anneal('gc', '--yes');
      assert.equal(refused.exitCode, 2);
      assert.match(
        refused.err,
        /also holds runs of project "other" \(run-9\).*Give each project a store of its own/,
      );
      assert.deepEqual(await kept(), ['e3', 'e9']);
    });
  },
);
