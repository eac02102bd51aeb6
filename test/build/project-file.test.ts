import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isProjectFile } from '../../src/workers/build/project-file.js';

test("a project's code is what its people wrote, also in Anneal's own repository", () => {
  const repository = { root: '/anneal', own: { directory: '/anneal/dist' } };
  const judged = [
    '/anneal/examples/a.ts',
    '/anneal/src/pipeline/index.ts',
    '/anneal/dist/core/x.js',
    '/anneal/.anneal/build/x.mjs',
  ].map((file) => isProjectFile(file, repository));
  assert.deepEqual(judged, [true, false, false, false]);
  const installed = { root: '/p', own: { directory: '/p/node_modules/anneal/dist' } };
  assert.deepEqual(
    ['/p/src/a.ts', '/p/node_modules/x/a.js', '/pq/a.ts'].map((file) => isProjectFile(file, installed)),
    [true, false, false],
  );
});
