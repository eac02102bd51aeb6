import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { createRoutes } from '../../src/workers/notification-routes.js';

const build = (to: string) => ({ pipelines: [{ name: 'train', notify: { onFailure: [to] } }] });

describe('who is told of a run that ended by itself', () => {
  const project = { onFailure: ['project@example.com'] };
  const stored = new Map([
    ['run', build('run@example.com')],
    ['current', build('current@example.com')],
  ]);
  const routesOf = createRoutes(
    { notify: project },
    {
      readManifest: async (digest) => await Promise.resolve(stored.get(digest)),
      readCurrent: async () => await Promise.resolve(stored.get('current')),
    },
  );
  const toldOf = async (of: { readonly pipeline: string; readonly build?: string }) =>
    JSON.stringify((await routesOf(of)).pipeline);

  test('is as the build of the run says, else as the current one says, else as the project says', async () => {
    assert.match(await toldOf({ pipeline: 'train', build: 'run' }), /run@example/);
    assert.match(await toldOf({ pipeline: 'train', build: 'gone' }), /current@example/);
    assert.match(await toldOf({ pipeline: 'train', build: '' }), /current@example/);
    assert.match(await toldOf({ pipeline: 'train' }), /current@example/);
    assert.deepEqual(await routesOf({ pipeline: 'other', build: 'run' }), { pipeline: {}, project });
  });
});
