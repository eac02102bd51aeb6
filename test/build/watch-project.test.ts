import assert from 'node:assert/strict';
import { rename } from 'node:fs/promises';
import path from 'node:path';
import { describe, test } from 'node:test';
import { watchProject } from '../../src/workers/build/watch-project.js';
import { withProject, writeFiles } from './fixture-project.js';

/** Reports of a watch, each awaited in turn. */
function collectReports() {
  const waiting: ((files: readonly string[]) => void)[] = [];
  const arrived: (readonly string[])[] = [];
  return {
    onChange: (files: readonly string[]) => {
      const next = waiting.shift();
      if (next) next(files);
      else arrived.push(files);
    },
    next: () =>
      new Promise<readonly string[]>((resolve) => {
        const first = arrived.shift();
        if (first) resolve(first);
        else waiting.push(resolve);
      }),
    count: () => arrived.length,
  };
}

describe('a watch of a project', () => {
  test('reports a burst of changes once, with the files', () =>
    withProject({ 'a/one.ts': '1', 'b/two.ts': '2' }, async (root) => {
      const reports = collectReports();
      const inputs = [path.join(root, 'a/one.ts'), path.join(root, 'b/two.ts')];
      const watch = watchProject({ inputs, onChange: reports.onChange, settleMs: 100 });
      try {
        const first = reports.next();
        await writeFiles(root, { 'a/one.ts': 'x', 'b/two.ts': 'y' });
        assert.deepEqual((await first).toSorted(), inputs);
        assert.equal(reports.count(), 0);
      } finally {
        watch.close();
      }
    }));

  test('goes on after an editor has replaced a file, and notices new files', () =>
    withProject({ 'a/one.ts': '1', 'a/draft.tmp': '2' }, async (root) => {
      const reports = collectReports();
      const watch = watchProject({
        inputs: [path.join(root, 'a/one.ts')],
        onChange: reports.onChange,
        settleMs: 20,
      });
      try {
        await rename(path.join(root, 'a/draft.tmp'), path.join(root, 'a/one.ts'));
        assert.ok((await reports.next()).includes(path.join(root, 'a/one.ts')));
        await writeFiles(root, { 'a/new.py': '' });
        assert.ok((await reports.next()).includes(path.join(root, 'a/new.py')));
      } finally {
        watch.close();
      }
    }));

  test('follows the inputs of the last build, and survives a directory that is not there', () =>
    withProject({ 'a/one.ts': '1', 'b/two.ts': '2' }, async (root) => {
      const reports = collectReports();
      const watch = watchProject({
        inputs: [path.join(root, 'gone/x.ts')],
        onChange: reports.onChange,
        settleMs: 20,
      });
      try {
        watch.update([path.join(root, 'b/two.ts')]);
        await writeFiles(root, { 'a/one.ts': 'x', 'b/two.ts': 'y' });
        assert.deepEqual(await reports.next(), [path.join(root, 'b/two.ts')]);
      } finally {
        watch.close();
      }
    }));
});
