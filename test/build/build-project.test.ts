import assert from 'node:assert/strict';
import { chmod, readdir, readFile, rm, symlink, utimes } from 'node:fs/promises';
import path from 'node:path';
import { describe, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { createContext, runInContext } from 'node:vm';
import { codeOf } from '../../src/workers/build/build-code.js';
import { CODE_BUDGET_BYTES } from '../../src/workers/build/bundle-workflows.js';
import { listBuilds, loadBuild } from '../../src/workers/build/load-build.js';
import { buildIn, pipelineWith, smallProject, withProject, writeFiles } from './fixture-project.js';

describe('a build', () => {
  test('holds workflow code, tasks, step code, locks and a manifest', () =>
    withProject(smallProject, async (root) => {
      const build = await buildIn(root);
      const files = (await readdir(build.dir, { recursive: true, withFileTypes: true })).filter((entry) =>
        entry.isFile(),
      );
      assert.deepEqual(
        files.map((entry) => path.relative(build.dir, path.join(entry.parentPath, entry.name))).toSorted(),
        [
          'activities.mjs',
          'code/ingest/lib/__init__.py',
          'code/ingest/main.py',
          'manifest.json',
          'python/ingest.txt',
          'workflows.js',
        ],
      );
      const { pipelines, steps, tasks } = build.manifest;
      assert.deepEqual(
        pipelines.map(({ name, params, schedule }) => ({ name, params, schedule })),
        [
          {
            name: 'counting',
            params: { rows: { type: 'number', default: 3, min: 1 } },
            schedule: { cron: '0 2 * * *' },
          },
        ],
      );
      assert.deepEqual(
        tasks.map(({ name }) => name),
        ['countRows'],
      );
      assert.match(steps[0]?.codeDigest ?? '', /^[0-9a-f]{64}$/);
      assert.match(steps[0]?.pythonDigest ?? '', /^[0-9a-f]{64}$/);
      assert.deepEqual(build.warnings, []);
      assert.deepEqual(await loadBuild(path.dirname(build.dir), build.digest), {
        digest: build.digest,
        dir: build.dir,
        manifest: build.manifest,
      });
    }));

  test('holds the dates of the files that schedules name, and is made again when one changes', () =>
    withProject(
      {
        ...pipelineWith(
          "export const a = definePipeline({ name: 'a', schedule: { every: '1d', skip: { dates: ['01-01'], file: 'holidays.txt' } } }, async () => {});",
        ),
        'holidays.txt': '# of this year\n2026-12-24  Christmas Eve\n\n12-25 # every year\n',
      },
      async (root) => {
        const dates = async () => (await buildIn(root)).manifest.pipelines[0]?.schedule?.skip?.dates;
        assert.deepEqual(await dates(), [
          '01-01',
          { date: '2026-12-24', name: 'Christmas Eve' },
          { date: '12-25' },
        ]);
        await writeFiles(root, { 'holidays.txt': '2027-05-01\n' });
        assert.deepEqual(await dates(), ['01-01', { date: '2027-05-01' }]);
      },
    ));

  test('stays within the code budget and keeps the source map', () =>
    withProject(smallProject, async (root) => {
      const text = await readFile(path.join((await buildIn(root)).dir, 'workflows.js'), 'utf8');
      const at = text.lastIndexOf('//# sourceMappingURL=data:');
      assert.ok(at > 0 && at <= CODE_BUDGET_BYTES, `${at} bytes of code`);
      const map = JSON.parse(
        Buffer.from(text.slice(text.indexOf('base64,', at) + 7), 'base64').toString(),
      ) as { sources: string[] };
      assert.ok(map.sources.includes('pipelines/counting.ts'));
      assert.ok(!map.sources.some((source) => path.isAbsolute(source)), map.sources.join('\n'));
    }));

  test('has workflow code that loads without Node', () =>
    withProject(smallProject, async (root) => {
      const text = await readFile(path.join((await buildIn(root)).dir, 'workflows.js'), 'utf8');
      const sandbox = createContext({
        __webpack_module_cache__: {},
        assert,
        TextEncoder,
        TextDecoder,
        URL,
        URLSearchParams,
        AbortController,
      });
      const dispatcher: unknown = runInContext(`${text}\n;__TEMPORAL__.importWorkflows().default`, sandbox);
      assert.equal(typeof dispatcher, 'function');
    }));

  test('has tasks that Node can load', () =>
    withProject(smallProject, async (root) => {
      const { dir } = await buildIn(root);
      const tasks = (await import(pathToFileURL(path.join(dir, 'activities.mjs')).href)) as {
        countRows: (input: { uri: string }) => Promise<number>;
      };
      assert.equal(
        await tasks.countRows({ uri: path.join(root, 'requirements.txt') }),
        smallProject['requirements.txt']?.length,
      );
    }));

  test('has one digest for one source, wherever it is built, and names no place', () =>
    withProject(smallProject, (here) =>
      withProject({ ...smallProject, 'deep/er/unrelated.txt': '' }, async (there) => {
        const [first, second] = [await buildIn(here), await buildIn(there)];
        assert.equal(first.digest, second.digest);
        const text = await readFile(path.join(first.dir, 'workflows.js'), 'utf8');
        assert.ok(!text.includes(here));
        assert.ok(!text.includes(process.cwd()));
        assert.ok(!JSON.stringify(first.manifest).includes(here));
      }),
    ));

  test('is not built again when nothing changed, nor when files were only touched', () =>
    withProject(smallProject, async (root) => {
      const first = await buildIn(root);
      assert.equal(first.unchanged, false);
      await utimes(path.join(root, 'pipelines/counting.ts'), new Date(), new Date());
      const second = await buildIn(root);
      assert.deepEqual([second.unchanged, second.digest, second.dir], [true, first.digest, first.dir]);
    }));

  test('is built again under its own digest when its directory is gone', () =>
    withProject(smallProject, async (root) => {
      const first = await buildIn(root);
      await rm(first.dir, { recursive: true });
      const second = await buildIn(root);
      assert.deepEqual([second.unchanged, second.digest], [false, first.digest]);
    }));

  test('changes its digest with code, lock, tasks, a mode, or a new file beside the code', () =>
    withProject(smallProject, async (root) => {
      const digests = [(await buildIn(root)).digest];
      const changes = [
        () => writeFiles(root, { 'steps/ingest/lib/__init__.py': 'rows = 4\n' }),
        () => writeFiles(root, { 'steps/ingest/extra.py': '' }),
        () => writeFiles(root, { 'requirements.txt': 'numpy==2.0.1 --hash=sha256:00\n' }),
        () =>
          chmod(path.join(root, 'steps/ingest/extra.py'), 0o755).then(() =>
            writeFiles(root, { 'steps/ingest/main.py': '#!/usr/bin/env python3\n' }),
          ),
        () => writeFiles(root, { 'activities.ts': 'export const countRows = async () => 1;\n' }),
      ];
      for (const change of changes) {
        await change();
        digests.push((await buildIn(root)).digest);
      }
      assert.equal(new Set(digests).size, digests.length);
      const builds = await listBuilds(path.join(root, '.anneal/build'));
      assert.deepEqual(builds.map(({ digest }) => digest).toSorted(), digests.toSorted());
    }));

  test('tells the code of steps, of tasks and of pipelines apart', () =>
    withProject(smallProject, async (root) => {
      const code = async () => codeOf((await buildIn(root)).manifest).code;
      const before = await code();
      assert.ok(before);
      await writeFiles(root, { 'steps/ingest/main.py': '# changed\n' });
      const script = await code();
      assert.equal(script?.workflows, before.workflows);
      assert.equal(script.tasks, before.tasks);
      assert.notEqual(script.steps['ingest'], before.steps['ingest']);
      await writeFiles(root, { 'activities.ts': 'export async function countRows() { return 7; }\n' });
      const tasks = await code();
      assert.deepEqual({ ...tasks, tasks: script.tasks }, script);
      assert.notEqual(tasks?.tasks, script.tasks);
    }));

  test('leaves no half-made directory behind', () =>
    withProject(smallProject, async (root) => {
      const { digest } = await buildIn(root);
      await writeFiles(root, { 'pipelines/counting.ts': 'throw new Error("no");\n' });
      await assert.rejects(buildIn(root));
      assert.deepEqual(
        (await readdir(path.join(root, '.anneal/build'))).toSorted(),
        [digest, 'inputs.json'].toSorted(),
      );
    }));

  test('takes a link to a file of the project as that file', () =>
    withProject(smallProject, async (root) => {
      await symlink(path.join(root, 'requirements.txt'), path.join(root, 'steps/ingest/link.txt'));
      const { dir } = await buildIn(root);
      assert.equal(
        await readFile(path.join(dir, 'code/ingest/link.txt'), 'utf8'),
        smallProject['requirements.txt'],
      );
    }));
});

test('a build that is not there is named with the command that makes it', async () => {
  await assert.rejects(loadBuild('/nowhere', 'ab'.repeat(32)), {
    code: 'BuildFailed',
    message: /^Build abababababab is not in \/nowhere\. .*anneal build$/,
  });
  await assert.rejects(loadBuild('/nowhere', '../etc'), { code: 'BuildFailed' });
});
