import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { PipelineDefinition } from '../../src/core/pipeline-definition.js';
import { scheduled } from '../schedules/schedule-server.js';
import { cli, fakeClient } from './fake-cli.js';

const nothing = { created: [], updated: [], removed: [], unchanged: ['nightly'], differences: {} };
const apply = async (pipelines: readonly PipelineDefinition[], deployed: readonly PipelineDefinition[]) => {
  const { schedules } = fakeClient({});
  const client = { schedules: { ...schedules, apply: async () => await Promise.resolve(nothing) } };
  const { code, err } = await cli(['schedule', 'apply'], { pipelines, deployed, client });
  return { code, err };
};

const nightly = scheduled('nightly', { every: '1h' });

describe('anneal schedule apply', () => {
  test('says which schedules would start runs that the build of new runs does not have', async () => {
    const { code, err } = await apply([nightly, scheduled('by-hand')], []);
    assert.equal(code, 0);
    assert.equal(
      err,
      `Runs of schedule "nightly" will fail: new runs use build ${'b'.repeat(12)}, which does not have that pipeline. Let new runs use this code with: anneal up\n`,
    );
  });

  test('says which ones pass what that build refuses, and nothing of the others', async () => {
    const rows = { rows: { type: 'number' as const } };
    const wanted = { ...scheduled('nightly', { every: '1h', params: { rows: 3 } }), params: rows };
    const { err } = await apply([wanted], [nightly]);
    assert.match(err, /which refuses its parameters \(.*"rows"/);
    assert.equal((await apply([wanted], [wanted])).err, '');
    const partition = { by: 'day', parameter: 'day' } as const;
    const daily = { ...nightly, params: { day: { type: 'string' as const } }, partition };
    assert.equal((await apply([daily], [daily])).err, '');
  });
});
