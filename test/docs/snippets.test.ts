import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';

import { runProgram } from '../../src/adapters/run-program.js';
import * as anneal from '../../src/pipeline/index.js';
import { extractBlocks, readPages, root, type Page } from './extract-blocks.js';

const compiler = {
  target: 'es2023',
  module: 'nodenext',
  strict: true,
  noUncheckedIndexedAccess: true,
  noEmit: true,
  skipLibCheck: true,
  types: ['node'],
};

/** Lays a page's TypeScript out as modules: a named block under its name, others numbered by their line. */
async function writeModules(page: Page, directory: string): Promise<number> {
  const blocks = extractBlocks(page).filter(({ language }) => language === 'ts');
  if (blocks.length > 0) await mkdir(directory, { recursive: true });
  for (const { name, code, line } of blocks)
    await writeFile(path.join(directory, name ?? `line-${line}.ts`), code);
  return blocks.length;
}

test('the TypeScript of README and docs compiles against the package', async () => {
  const directory = await mkdtemp(path.join(tmpdir(), 'anneal-snippets-'));
  try {
    await mkdir(path.join(directory, 'node_modules'));
    await symlink(root, path.join(directory, 'node_modules', 'anneal'), 'dir');
    await symlink(
      path.join(root, 'node_modules', '@types'),
      path.join(directory, 'node_modules', '@types'),
      'dir',
    );
    await writeFile(path.join(directory, 'package.json'), '{"type":"module"}');
    await writeFile(path.join(directory, 'tsconfig.json'), JSON.stringify({ compilerOptions: compiler }));
    const counts = await Promise.all(
      (await readPages()).map(
        async (page) => await writeModules(page, path.join(directory, page.path.replaceAll('/', '-'))),
      ),
    );
    assert.ok(counts.reduce((a, b) => a + b) > 5, 'the pages have hardly any TypeScript');
    const tsc = path.join(root, 'node_modules', 'typescript', 'bin', 'tsc');
    const { code, stdout } = await runProgram({
      file: process.execPath,
      args: [tsc, '-p', directory],
      cwd: directory,
      timeoutMs: 90_000,
    });
    assert.equal(code, 0, stdout);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
});

test('docs/writing-pipelines.md shows every function of the package', async () => {
  const page = (await readPages()).find((one) => one.path === 'docs/writing-pipelines.md');
  assert.ok(page);
  const code = extractBlocks(page)
    .filter(({ language }) => language === 'ts')
    .map((block) => block.code)
    .join('\n');
  const missing = Object.keys(anneal).filter((name) => !new RegExp(`\\b${name}[(<]`).test(code));
  assert.deepEqual(missing, []);
});
