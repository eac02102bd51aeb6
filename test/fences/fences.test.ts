import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { cruise, type ICruiseResult, type IFlattenedRuleSet } from 'dependency-cruiser';
import { ESLint } from 'eslint';
import ts from 'typescript';
import { repositoryRoot, withFixtureTree } from './fixture-tree.js';

const stub = 'export const stub = 1;\n';
const cruiserConfig = createRequire(import.meta.url)(join(repositoryRoot, '.dependency-cruiser.cjs')) as {
  forbidden: NonNullable<IFlattenedRuleSet['forbidden']>;
  options: object;
};

describe('the import fence', () => {
  const violations: { title: string; rule: string; from: string; files: Record<string, string> }[] = [
    {
      title: 'refuses Node in core',
      rule: 'layer-core',
      from: 'src/core/a.ts',
      files: { 'src/core/a.ts': "import { readFileSync } from 'node:fs';\nexport const a = readFileSync;\n" },
    },
    {
      title: 'refuses a Node module without the prefix in core',
      rule: 'layer-core',
      from: 'src/core/a.ts',
      files: { 'src/core/a.ts': "import { join } from 'path';\nexport const a = join;\n" },
    },
    {
      title: 'refuses Temporal in pipeline',
      rule: 'layer-pipeline',
      from: 'src/pipeline/a.ts',
      files: {
        'src/pipeline/a.ts': "import { stub } from '@temporalio/workflow';\nexport const a = stub;\n",
      },
    },
    {
      title: 'refuses an activity implementation in workflows',
      rule: 'layer-workflows',
      from: 'src/workflows/a.ts',
      files: {
        'src/workflows/a.ts': "import { stub } from '../activities/b.js';\nexport const a = stub;\n",
        'src/activities/b.ts': stub,
      },
    },
    {
      title: 'refuses a type of an activity in workflows',
      rule: 'layer-workflows',
      from: 'src/workflows/a.ts',
      files: {
        'src/workflows/a.ts': "import type { B } from '../activities/b.js';\nexport type A = B;\n",
        'src/activities/b.ts': 'export type B = string;\n',
      },
    },
    {
      title: 'refuses a package that does not resolve',
      rule: 'layer-core',
      from: 'src/core/a.ts',
      files: { 'src/core/a.ts': "import { x } from 'not-installed';\nexport const a = x;\n" },
    },
    {
      title: 'refuses workflows in workers, which load them by path',
      rule: 'layer-workers',
      from: 'src/workers/a.ts',
      files: {
        'src/workers/a.ts': "import { stub } from '../workflows/b.js';\nexport const a = stub;\n",
        'src/workflows/b.ts': stub,
      },
    },
    {
      title: 'refuses workers in the client, whose composition alone may load workers',
      rule: 'layer-client',
      from: 'src/client/a.ts',
      files: {
        'src/client/a.ts': "import { stub } from '../workers/b.js';\nexport const a = stub;\n",
        'src/workers/b.ts': stub,
      },
    },
    {
      title: 'refuses adapters in the composition of the client',
      rule: 'layer-client/connect-project.ts',
      from: 'src/client/connect-project.ts',
      files: {
        'src/client/connect-project.ts': "import { stub } from '../adapters/b.js';\nexport const a = stub;\n",
        'src/adapters/b.ts': stub,
      },
    },
    {
      title: 'refuses src in the MLflow client',
      rule: 'layer-mlflow-ts-client',
      from: 'packages/mlflow-ts-client/src/a.ts',
      files: {
        'packages/mlflow-ts-client/src/a.ts':
          "import { stub } from '../../../src/core/b.js';\nexport const a = stub;\n",
        'src/core/b.ts': stub,
      },
    },
    {
      title: 'refuses a folder of src without a layer',
      rule: 'layer-unknown',
      from: 'src/shared/a.ts',
      files: {
        'src/shared/a.ts': "import { stub } from '../core/b.js';\nexport const a = stub;\n",
        'src/core/b.ts': stub,
      },
    },
    {
      title: 'refuses to call a port of another layer',
      rule: 'ports-are-types',
      from: 'src/adapters/a.ts',
      files: {
        'src/adapters/a.ts': "import { stub } from '../activities/ports/b.js';\nexport const a = stub;\n",
        'src/activities/ports/b.ts': stub,
      },
    },
    {
      title: 'refuses heavy modules at the start of the CLI',
      rule: 'cli-main-stays-light',
      from: 'src/cli/main.ts',
      files: {
        'src/cli/main.ts': "import { stub } from '../client/b.js';\nexport const a = stub;\n",
        'src/client/b.ts': stub,
      },
    },
    {
      title: 'refuses a circle',
      rule: 'no-circular',
      from: 'src/core/a.ts',
      files: {
        'src/core/a.ts': "import { b } from './b.js';\nexport const a = (): unknown => b;\n",
        'src/core/b.ts': "import { a } from './a.js';\nexport const b = (): unknown => a;\n",
      },
    },
    {
      title: 'refuses an orphan',
      rule: 'no-orphans',
      from: 'src/core/alone.ts',
      files: { 'src/core/alone.ts': stub },
    },
    {
      title: 'refuses a test imported by sources',
      rule: 'nothing-imports-tests',
      from: 'src/testing/a.ts',
      files: {
        'src/testing/a.ts': "import { stub } from '../../test/b.js';\nexport const a = stub;\n",
        'test/b.ts': stub,
      },
    },
    {
      title: 'refuses an example imported by sources',
      rule: 'nothing-imports-examples',
      from: 'src/testing/a.ts',
      files: {
        'src/testing/a.ts': "import { stub } from '../../examples/b.js';\nexport const a = stub;\n",
        'examples/b.ts': stub,
      },
    },
  ];

  for (const { title, rule, from, files } of violations) {
    test(title, () =>
      withFixtureTree(files, async (root) => {
        const found = await cruiseTree(root, Object.keys(files));
        assert.ok(
          found.includes(`${rule} ${from}`),
          `expected ${rule} on ${from}, found ${found.join(', ') || 'nothing'}`,
        );
      }),
    );
  }

  test('lets through what the table lists', () => {
    const files = {
      'src/core/a.ts': "import { stub } from '@noble/hashes';\nexport const a = stub;\n",
      'src/core/index.ts': "export { a } from './a.js';\n",
      'src/workflows/b.ts':
        "import { stub } from '@temporalio/workflow';\nimport { a } from '../core/index.js';\nexport const b = [a, stub];\n",
      'src/activities/ports/c.ts': "import type { a } from '../../core/a.js';\nexport type C = typeof a;\n",
      'src/adapters/d.ts':
        "import type { C } from '../activities/ports/c.js';\nimport { join } from 'node:path';\nexport const d = (c: C) => join(String(c));\n",
      'src/local/e.ts': "import { d } from '../adapters/d.js';\nexport const e = d;\n",
      'src/cli/main.ts':
        "import { stub } from 'commander';\nexport const main = async () => [stub, await import('../client/f.js')];\n",
      'src/client/f.ts': "import { stub } from '@temporalio/client';\nexport const f = stub;\n",
      'src/client/connect-project.ts':
        "export const connectProject = async () => [await import('../workers/h.js'), await import('./f.js')];\n",
      'src/workers/h.ts': stub,
      'test/g.test.ts': "import { e } from '../src/local/e.js';\nexport const g = e;\n",
    };
    return withFixtureTree(files, async (root) => {
      assert.deepEqual(await cruiseTree(root, Object.keys(files)), []);
    });
  });
});

describe('the sandbox compiler project', () => {
  for (const [name, code] of [
    ['process', 'export const a = process.pid;\n'],
    ['Buffer', "export const a = Buffer.from('a');\n"],
    ['fetch', "export const a = fetch('a');\n"],
    ['setTimeout', 'export const a = setTimeout;\n'],
    ['node:fs', "import { readFileSync } from 'node:fs';\nexport const a = readFileSync;\n"],
  ] as const) {
    test(`does not know ${name} in core`, () =>
      withFixtureTree({ 'src/core/a.ts': code }, (root) => {
        const messages = compileErrors(join(root, 'tsconfig.sandbox.json'));
        assert.equal(messages.length, 1);
        assert.match(messages[0] ?? '', new RegExp(`Cannot find (name|module) '${name}'`));
        return Promise.resolve();
      }));
  }
});

describe('the lint fence', () => {
  const longFile = 'export const list = [\n' + '  1,\n'.repeat(301) + '];\n';
  const longFunction =
    'export function long(): number {\n  let n = 0;\n' + '  n += 1;\n'.repeat(60) + '  return n;\n}\n';
  const violations: Record<string, { rule: string; code: string }> = {
    'src/core/floating.ts': {
      rule: '@typescript-eslint/no-floating-promises',
      code: 'export async function work(): Promise<void> {\n  await Promise.resolve();\n}\nexport function start(): void {\n  work();\n}\n',
    },
    'src/core/misused.ts': {
      rule: '@typescript-eslint/no-misused-promises',
      code: 'export const run = (list: string[]): void => list.forEach(async (x) => void (await Promise.resolve(x)));\n',
    },
    'src/core/await-thenable.ts': {
      rule: '@typescript-eslint/await-thenable',
      code: 'export const run = async (x: number): Promise<number> => await x;\n',
    },
    'src/core/exhaustive.ts': {
      rule: '@typescript-eslint/switch-exhaustiveness-check',
      code: "export function f(x: 'a' | 'b'): void {\n  switch (x) {\n    case 'a':\n  }\n}\n",
    },
    'src/core/type-import.ts': {
      rule: '@typescript-eslint/consistent-type-imports',
      code: "import { f } from './exhaustive.js';\nexport type F = typeof f;\n",
    },
    'src/core/any.ts': { rule: '@typescript-eslint/no-explicit-any', code: 'export type A = any;\n' },
    'src/core/bang.ts': {
      rule: '@typescript-eslint/no-non-null-assertion',
      code: 'export const f = (x: string | undefined): string => x!;\n',
    },
    'src/core/double-cast.ts': {
      rule: 'no-restricted-syntax',
      code: 'export const f = (x: number): string => x as unknown as string;\n',
    },
    'src/core/bare-date.ts': {
      rule: 'no-restricted-syntax',
      code: 'export const f = (): Date => new Date();\n',
    },
    'src/core/random.ts': {
      rule: 'no-restricted-properties',
      code: 'export const f = (): number => Math.random();\n',
    },
    'src/core/weak.ts': {
      rule: 'no-restricted-globals',
      code: 'export const f = (x: object): unknown => new WeakRef(x);\n',
    },
    'src/core/helpers.ts': { rule: 'no-restricted-syntax', code: stub },
    'src/core/default-export.ts': { rule: 'import-x/no-default-export', code: 'export default 1;\n' },
    'src/core/long-file.ts': { rule: 'max-lines', code: longFile },
    'src/core/long-function.ts': { rule: 'max-lines-per-function', code: longFunction },
    'src/core/many-params.ts': {
      rule: 'max-params',
      code: 'export const f = (a: number, b: number, c: number, d: number): number => a + b + c + d;\n',
    },
    'src/core/cycle-a.ts': {
      rule: 'import-x/no-cycle',
      code: "import { b } from './cycle-b.js';\nexport const a = (): unknown => b;\n",
    },
    'src/core/cycle-b.ts': {
      rule: 'import-x/no-cycle',
      code: "import { a } from './cycle-a.js';\nexport const b = (): unknown => a;\n",
    },
    'src/activities/console.ts': {
      rule: 'no-console',
      code: "export const f = (): void => console.log('a');\n",
    },
    'test/floating.test.ts': {
      rule: '@typescript-eslint/no-floating-promises',
      code: "import { test } from 'node:test';\ntest('a', () => {\n  Promise.resolve();\n});\n",
    },
  };
  const allowed: Record<string, string> = {
    'src/adapters/cast.ts': 'export const f = (x: number): string => x as unknown as string;\n',
    'src/cli/print.ts': "export const f = (): void => console.log('a');\n",
    'src/workflows/clock.ts': 'export const f = (): number => Date.now();\n',
    'test/plain.test.ts':
      "import { describe, test } from 'node:test';\ndescribe('a', () => {\n  test('b', async () => {\n    await Promise.resolve();\n  });\n});\n",
    'scripts/plain.mjs': 'console.log(process.pid, new URL(import.meta.url));\n',
  };

  test('reports each violation by its rule, and nothing else', () => {
    const codes = Object.fromEntries(Object.entries(violations).map(([path, { code }]) => [path, code]));
    const expected = Object.entries(violations).map(([path, { rule }]) => [path, [rule]] as const);
    const clean = Object.keys(allowed).map((path) => [path, []] as const);
    return withFixtureTree({ ...codes, ...allowed }, async (root) => {
      assert.deepEqual(await lintTree(root), Object.fromEntries([...expected, ...clean]));
    });
  });
});

/** Violations as `rule path`, of the repository's rules on another tree. */
async function cruiseTree(root: string, paths: string[]): Promise<string[]> {
  const folders = [...new Set(paths.map((path) => path.split('/')[0] ?? path))];
  const { doNotFollow, exclude, enhancedResolveOptions } = cruiserConfig.options as {
    readonly [name: string]: never;
  };
  const { output } = await cruise(
    folders,
    {
      baseDir: root,
      validate: true,
      ruleSet: { forbidden: cruiserConfig.forbidden },
      tsPreCompilationDeps: true,
      combinedDependencies: true,
      doNotFollow: doNotFollow as never,
      exclude: exclude as never,
    },
    enhancedResolveOptions,
  );
  return (output as ICruiseResult).summary.violations.map(({ rule, from }) => `${rule.name} ${from}`);
}

/** The compiler's messages for one project, options and files as `tsc` reads them. */
function compileErrors(project: string): string[] {
  const { config } = ts.readConfigFile(project, (path) => ts.sys.readFile(path)) as { config: unknown };
  const { options, fileNames } = ts.parseJsonConfigFileContent(config, ts.sys, join(project, '..'));
  const program = ts.createProgram(fileNames, {
    ...options,
    noEmit: true,
    composite: false,
    incremental: false,
  });
  return ts
    .getPreEmitDiagnostics(program)
    .map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, '\n'));
}

/** The rules that the repository's lint reports on another tree, by file. */
async function lintTree(root: string): Promise<Record<string, string[]>> {
  const eslint = new ESLint({ cwd: root, overrideConfigFile: join(repositoryRoot, 'eslint.config.js') });
  const results = await eslint.lintFiles(['src', 'test', 'scripts']);
  return Object.fromEntries(
    results.map(({ filePath, messages }) => [
      filePath.slice(root.length + 1).replaceAll('\\', '/'),
      [...new Set(messages.map(({ ruleId, message }) => ruleId ?? message))],
    ]),
  );
}
