import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readdir, readFile, realpath, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { TestWorkflowEnvironment } from '@temporalio/testing';
import { until } from './support/until.js';

const temporalCli = process.env['ANNEAL_TEST_TEMPORAL'];
const CLI = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
const LONG_AGO = new Date(Date.now() - 200 * 86_400_000);
const OLD_RUNS = 400;
const FILES = ['attempts/a/outputs/data', 'attempts/a/manifest.json', 'attempts/b/outputs/data', 'run.json'];

describe(
  'an anneal gc that is killed',
  { skip: temporalCli === undefined ? 'ANNEAL_TEST_TEMPORAL is not set' : false, timeout: 180_000 },
  () => {
    let server: TestWorkflowEnvironment;
    let root = '';
    let store = '';

    before(async () => {
      server = await TestWorkflowEnvironment.createLocal({
        server: { executable: { type: 'existing-path', path: temporalCli ?? '' } },
      });
      root = await mkdtemp(path.join(await realpath(tmpdir()), 'anneal-gc-killed-'));
      store = path.join(root, '.anneal/local/store');
      await writeFile(
        path.join(root, 'anneal.yaml'),
        'project: shop\nretention: { age: 30d, keepLast: 1 }\n',
      );
      // The newest is kept, another is on hold, and the first attempt of a third was taken from the cache by the newest.
      for (let n = 1; n <= OLD_RUNS; n++) await putRun(n);
      const use = path.join(store, 'uses/e3/a');
      await mkdir(use, { recursive: true });
      await writeFile(path.join(use, `run-${OLD_RUNS}.epoch.json`), '{}');
    });
    after(async () => {
      await server.teardown();
      await rm(root, { recursive: true, force: true });
    });

    async function putRun(n: number): Promise<void> {
      const folder = path.join(store, `runs/e${n}`);
      const endedAtMs = LONG_AGO.getTime() + n;
      const record = {
        runId: `run-${n}`,
        executionId: `e${n}`,
        pipeline: 'p',
        project: 'shop',
        endedAtMs,
        calls: [],
      };
      for (const file of FILES) {
        const full = path.join(folder, file);
        await mkdir(path.dirname(full), { recursive: true });
        await writeFile(full, file === 'run.json' ? JSON.stringify(record) : 'x'.repeat(100));
        await utimes(full, LONG_AGO, LONG_AGO);
      }
    }

    const start = (...args: readonly string[]) => {
      const child = spawn(process.execPath, [CLI, ...args], {
        cwd: root,
        env: { ...process.env, TEMPORAL_ADDRESS: server.address },
        stdio: ['ignore', 'pipe', 'pipe'],
      });
      let said = '';
      for (const stream of [child.stdout, child.stderr])
        stream.on('data', (text: Buffer) => (said += String(text)));
      const ended = once(child, 'exit').then(([code]) => ({ code: code as number | null, said }));
      return { child, ended };
    };
    const left = async () => await readdir(path.join(store, 'runs'));
    const filesOf = async (n: number) =>
      (await readdir(path.join(store, `runs/e${n}`), { recursive: true, withFileTypes: true }))
        .filter((entry) => entry.isFile())
        .map((entry) =>
          path.relative(path.join(store, `runs/e${n}`), path.join(entry.parentPath, entry.name)),
        )
        .toSorted();
    const assertKept = async () => {
      for (const n of [1, OLD_RUNS]) assert.deepEqual(await filesOf(n), FILES.toSorted());
      const used = await filesOf(3);
      for (const file of FILES.filter((name) => !name.startsWith('attempts/b')))
        assert.ok(used.includes(file), file);
    };

    test('leaves all that counts, says so to the next one, which then removes the rest', async () => {
      assert.equal((await start('hold', 'add', 'run-1', '--reason', 'case').ended).code, 0);
      const { child, ended } = start('gc', '--yes');
      await until('it has begun to remove', async () => (await left()).length < OLD_RUNS - 20);
      child.kill('SIGKILL');
      await ended;
      const half = await left();
      assert.ok(half.length > 3, `killed half way, with ${half.length} runs left`);
      await assertKept();
      // Whatever run still has a record is whole, but for the one that was being removed.
      const removing = await readFile(path.join(store, 'gc/removing.json'), 'utf8').catch(() => '');
      for (const run of half) {
        const files = await filesOf(Number(run.slice(1)));
        if (run === 'e3' || !files.includes('run.json') || removing.includes(`"${run}"`)) continue;
        assert.deepEqual(files, FILES.toSorted(), run);
      }

      const early = await start('gc', '--yes').ended;
      assert.notEqual(early.code, 0);
      assert.match(
        early.said,
        /Another "npx anneal gc" on .* \(process \d+\) works on this store.*killed counts no more after 10 minutes/,
      );
      assert.deepEqual(await left(), half);
      // As if those had passed.
      const locks = path.join(store, 'gc/lock');
      for (const name of await readdir(locks)) {
        const file = path.join(locks, name);
        const held = JSON.parse(await readFile(file, 'utf8')) as object;
        await writeFile(file, JSON.stringify({ ...held, atMs: Date.now() - 11 * 60_000 }));
      }
      const again = await start('gc', '--yes').ended;
      assert.equal(again.code, 0, again.said);
      // Folders are no objects: of the run that was being removed empty ones may be left.
      const whole: string[] = [];
      for (const run of await left()) if ((await filesOf(Number(run.slice(1)))).length > 0) whole.push(run);
      assert.deepEqual(whole.toSorted(), ['e1', 'e3', `e${OLD_RUNS}`].toSorted());
      await assertKept();
      assert.deepEqual(await filesOf(3), FILES.filter((name) => !name.startsWith('attempts/b')).toSorted());
      const own = await readdir(path.join(store, 'gc'), { recursive: true });
      assert.deepEqual(
        own.filter((name) => name.endsWith('.json')),
        ['owner.json'],
      );
    });
  },
);
