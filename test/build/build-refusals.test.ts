import assert from 'node:assert/strict';
import { symlink } from 'node:fs/promises';
import path from 'node:path';
import { describe, test } from 'node:test';
import { buildIn, pipelineWith, smallProject, withProject } from './fixture-project.js';
import type { ProjectFiles } from './fixture-project.js';

const refused = (files: ProjectFiles, ...messages: readonly RegExp[]) =>
  withProject(files, async (root) => {
    await assert.rejects(buildIn(root), (error: { readonly code?: string; readonly message: string }) => {
      assert.equal(error.code, 'BuildFailed');
      for (const message of messages) assert.match(error.message, message);
      return true;
    });
  });

const step = (name: string, options: string) =>
  `export const ${name} = defineStep({ name: '${name}', ${options}, inputs: {}, outputs: {}, command: () => ['true'] });`;

describe('a project that cannot be built', () => {
  test('is refused with the place of a syntax error', () =>
    refused(pipelineWith('const x: = 3;'), /^pipelines\/index\.ts:2:10: Unexpected "="\.$/));

  test('is refused with the place of an error while loading', () =>
    refused(
      pipelineWith('', 'const settings: { a?: { b: number } } = {};', 'settings.a!.b;'),
      /^pipelines\/index\.ts:4:13: Cannot read properties of undefined.*\.$/,
    ));

  test('is refused with the place of a wrong name', () =>
    refused(
      pipelineWith(step('Train', 'code: []')),
      /^pipelines\/index\.ts:2:22: Step name "Train" must start with/,
    ));

  test('is refused when one variable would have to hold two secrets', () =>
    refused(
      pipelineWith(
        "import { secret } from 'anneal';",
        step('one', "env: { USER: secret('db', 'user_name'), AGAIN: secret('db', 'user_name') }"),
        step('two', "env: { NAME: secret('db_user', 'name') }"),
      ),
      /secret\('db', 'user_name'\) and secret\('db_user', 'name'\) are different secrets of one environment variable, ANNEAL_SECRET_DB_USER_NAME\. Rename/,
    ));

  test('is refused when a pipeline tells an address that leads nowhere', () =>
    refused(
      pipelineWith(
        "export const told = definePipeline({ name: 'told', notify: { onStuck: ['slack:ml'] } }, async () => {});",
      ),
      /^"slack:ml" in notify\.onStuck of pipeline "told" names nothing under notifiers: of anneal\.yaml, which has none\./m,
    ));

  test('is refused when a schedule cannot be used', () =>
    refused(
      pipelineWith(
        "export const a = definePipeline({ name: 'a', schedule: { cron: '0 25 * * *' } }, async () => {});",
        "export const b = definePipeline({ name: 'b', schedule: { every: '1h', skip: { file: 'none.txt' } } }, async () => {});",
        "export const c = definePipeline({ name: 'c', schedule: { every: '1h', params: { n: 1 } as object } }, async () => {});",
      ),
      /^The schedule of pipeline "a" is wrong: its cron "0 25 \* \* \*" cannot be used: "25" is no hour/m,
      /^The schedule of pipeline "b" skips the dates in none\.txt, which cannot be read\./m,
      /^The schedule of pipeline "c" is wrong: Pipeline "c" has no parameter "n"/m,
    ));

  test('is refused when a pipeline reads its environment', () =>
    refused(
      pipelineWith('export const home = process.env.HOME;'),
      /^pipelines\/index\.ts:2:21: pipelines run in Temporal's sandbox, which has no process; move this/,
    ));

  test('is refused when a pipeline imports what the sandbox lacks', () =>
    refused(
      pipelineWith(
        "import { readFileSync } from 'node:fs';",
        "import { Client } from '@temporalio/client';",
        'export const used = [readFileSync, Client];',
      ),
      /pipelines\/index\.ts:2:30: .*which has no "node:fs"\. Move this into a task/,
      /pipelines\/index\.ts:3:24: .*which has no "@temporalio\/client"/,
    ));

  test('is refused with the next step for a package that is not installed', () =>
    refused(
      pipelineWith("export * from 'not-installed-here';"),
      /:2:15: Could not resolve "not-installed-here": install it in the project/,
    ));

  test('is refused when modules that anneal.yaml names are missing', async () => {
    await refused(
      { 'anneal.yaml': '' },
      /^pipelines in .*anneal\.yaml names .*pipelines\/index\.ts, which does not exist\./,
    );
    await refused(
      { ...pipelineWith(), 'anneal.yaml': 'activities: ./tasks.ts' },
      /^activities in .*names .*tasks\.ts, which does not exist/,
    );
  });

  test('is refused when it defines nothing', () =>
    refused(
      { 'anneal.yaml': '', 'pipelines/index.ts': 'export {};' },
      /^pipelines\/index\.ts defines no pipeline\./,
    ));

  test('is refused with all problems of its definitions at once', () =>
    refused(
      pipelineWith(
        step('a', "code: ['nofile.py', '../outside.py', '/etc/hostname']"),
        step('b', "code: [], python: { requirements: 'lock.txt' }"),
        "defineStep({ name: 'a', inputs: {}, outputs: {}, command: () => ['true'] });",
        "const hidden = definePipeline({ name: 'hidden' }, async () => 1);",
        "export const t = defineTask('doIt');",
      ),
      /^Two steps are called "a"\./m,
      /^Pipeline "hidden" is defined but not exported by pipelines\/index\.ts/m,
      /^Task "doIt" has no function: anneal\.yaml names no module of tasks\./m,
      /^Step "a" names code "nofile\.py", which does not exist \(looked for .*\)\. Paths are relative to anneal\.yaml\.$/m,
      /^Step "a" names code "\/etc\/hostname", which is outside the project/m,
      /^Step "b" names python\.requirements "lock\.txt", which does not exist/m,
    ));

  test('is refused when the module of tasks lacks one', () =>
    refused(
      { ...smallProject, 'activities.ts': 'export const count = 1;' },
      /^Task "countRows" has no function: activities\.ts exports count\. Export/,
    ));

  test('is refused when two code files land on one name', () =>
    refused(
      { ...pipelineWith(step('a', "code: ['x/main.py', 'y']")), 'x/main.py': '', 'y/main.py': '' },
      /two code files that land on "main\.py": x\/main\.py and y\/main\.py\. Rename one\./,
    ));

  test('is refused when code links out of the project', () =>
    withProject({ ...pipelineWith(step('a', "code: ['code']")), 'code/main.py': '' }, async (root) => {
      await symlink('/etc', path.join(root, 'code/etc'));
      await assert.rejects(buildIn(root), {
        message: /code "code\/etc", which is outside the project \(\/etc\)/,
      });
    }));
});

describe('a project that builds with warnings', () => {
  test('hears nothing about the modules that the sandbox has', () =>
    withProject(
      pipelineWith("import { inspect } from 'util';", 'export const show = inspect;'),
      async (root) => {
        assert.deepEqual((await buildIn(root)).warnings, []);
      },
    ));

  test('hears about clocks and random numbers that are not recorded, but not about words and own names', () =>
    withProject(
      pipelineWith(
        "// Date.now() in a comment, 'Math.random()' too",
        "export const text = 'Date.now() Math.random() new Date()';",
        'export const seed = () => Math.random();',
        'export const at = () => new Date();',
        'export const fixed = () => new Date(0);',
        'export const own = (Date: { now: () => number }) => Date.now();',
      ),
      async (root) => {
        const { warnings } = await buildIn(root);
        assert.equal(warnings.length, 2);
        assert.match(
          warnings.join('\n'),
          /^pipelines\/index\.ts:4:27: Math\.random is not recorded.*random\(\) from "anneal"\.$/m,
        );
        assert.match(
          warnings.join('\n'),
          /^pipelines\/index\.ts:5:25: new Date\(\) is not recorded.*new Date\(now\(\)\)/m,
        );
        assert.deepEqual((await buildIn(root)).warnings, warnings, 'an unchanged build repeats them');
      },
    ));

  test('hears that the journal does not hold what @temporalio/workflow gives', () =>
    withProject(pipelineWith("export { sleep } from '@temporalio/workflow';"), async (root) => {
      assert.match(
        (await buildIn(root)).warnings.join('\n'),
        /^pipelines\/index\.ts:2:23: what @temporalio\/workflow gives is not in the journal/,
      );
    }));
});
