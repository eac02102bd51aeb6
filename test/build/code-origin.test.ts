import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, test } from 'node:test';
import { runProgram } from '../../src/adapters/run-program.js';
import { loadBuild } from '../../src/workers/build/load-build.js';
import { readCodeOrigin } from '../../src/workers/build/code-origin.js';
import { buildIn, pipelineWith, withProject } from './fixture-project.js';

const env = {
  ...process.env,
  GIT_CONFIG_NOSYSTEM: '1',
  // A file that does not exist: this machine's settings stay out.
  GIT_CONFIG_GLOBAL: path.join(tmpdir(), 'anneal-no-such-gitconfig'),
  GIT_CEILING_DIRECTORIES: '/',
  GIT_AUTHOR_NAME: 'a',
  GIT_AUTHOR_EMAIL: 'a@b.c',
  GIT_COMMITTER_NAME: 'a',
  GIT_COMMITTER_EMAIL: 'a@b.c',
};
const FILES = { ...pipelineWith(), '.gitignore': '.anneal/\n' };

async function git(root: string, ...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await runProgram({ file: 'git', args, cwd: root, env });
  assert.equal(code, 0, stderr);
  return stdout.trim();
}

async function commitAll(root: string): Promise<string> {
  await git(root, 'add', '-A');
  await git(root, 'commit', '-q', '-m', 'first');
  return await git(root, 'rev-parse', 'HEAD');
}

const origin = (root: string) => readCodeOrigin(root, { env, run: runProgram });

describe('the origin of a project’s code', () => {
  test('is nothing outside git, and before the first commit', () =>
    withProject(FILES, async (root) => {
      assert.equal(await origin(root), undefined);
      await git(root, 'init', '-q', '-b', 'main');
      assert.equal(await origin(root), undefined);
    }));

  test('is commit, branch, remote without its password, and whether files differ', () =>
    withProject(FILES, async (root) => {
      await git(root, 'init', '-q', '-b', 'main');
      await git(root, 'remote', 'add', 'origin', 'https://me:secret@git.example/team/churn.git');
      const commit = await commitAll(root);
      const clean = {
        commit,
        branch: 'main',
        repositoryUrl: 'https://git.example/team/churn.git',
        dirty: false,
      };
      assert.deepEqual(await origin(root), clean);
      await writeFile(path.join(root, 'new.py'), 'x = 1\n');
      assert.deepEqual(await origin(root), { ...clean, dirty: true });
    }));

  test('is nothing where there is no git', async () => {
    const run = () => Promise.resolve({ code: null, stdout: '', stderr: 'spawn git ENOENT' });
    assert.equal(await readCodeOrigin('/', { env, run }), undefined);
  });
});

test('a build says of which commit its sources are, as soon as they are committed, under the same digest', () =>
  withProject(FILES, async (root) => {
    const before = await buildIn(root);
    assert.equal(before.manifest.origin, undefined);
    await git(root, 'init', '-q', '-b', 'main');
    const commit = await commitAll(root);
    const after = await buildIn(root);
    assert.equal(after.unchanged, true);
    assert.equal(after.digest, before.digest);
    assert.deepEqual(after.manifest.origin, { commit, branch: 'main', dirty: false });
    assert.deepEqual((await loadBuild(path.dirname(after.dir), after.digest)).manifest, after.manifest);
  }));
