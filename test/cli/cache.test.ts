import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { CacheExplanation, CachedResult, ClientCache, StartRunOptions } from '../../src/client/index.js';
import { cli, STARTED_MS } from './fake-cli.js';

const refuse = () => Promise.reject(new Error('this test did not expect this call'));
const result: CachedResult = {
  step: 'features',
  key: 'abcdef0123456789',
  generation: 1,
  runId: 'churn-1',
  executionId: 'exec-1',
  pipeline: 'churn-training',
  storedAtMs: STARTED_MS,
  sizeBytes: 2_048,
};

describe('anneal cache', () => {
  test('why names what differs from the nearest earlier result', async () => {
    const explanation: CacheExplanation = {
      call: 'features',
      verdict: 'miss',
      reason: 'it differs from the nearest earlier result, of run churn-1',
      nearest: { runId: 'churn-1', key: 'k', storedAtMs: STARTED_MS },
      changes: [
        { part: 'code features.py', before: 'sha256:a', now: 'sha256:b' },
        { part: 'parameter trees', now: '5' },
      ],
    };
    const cache: ClientCache = { list: refuse, clear: refuse, why: () => Promise.resolve([explanation]) };
    const text = await cli(['cache', 'why', 'churn-2', 'features'], { client: { cache } });
    assert.equal(text.code, 0, text.err);
    assert.equal(
      text.out,
      [
        'features: miss',
        '  it differs from the nearest earlier result, of run churn-1, made 2026-11-23 11:00:00, in:',
        '    code features.py  was sha256:a, is sha256:b',
        '    parameter trees  is new: 5',
        '',
      ].join('\n'),
    );
    const json = await cli(['cache', 'why', 'churn-2', 'features', '--json'], { client: { cache } });
    assert.deepEqual(json.document(), [explanation]);
  });

  test('list shows results, and passes on the filter', async () => {
    const asked: unknown[] = [];
    const list: ClientCache['list'] = (filter) => {
      asked.push(filter);
      return Promise.resolve([result]);
    };
    const setting = { client: { cache: { list, clear: refuse, why: refuse } } };
    const { out, code } = await cli(['cache', 'list', '--step', 'features', '--pipeline', 'p'], setting);
    assert.equal(code, 0);
    assert.match(
      out,
      /STEP +KEY +MADE +SIZE +RUN\nfeatures +abcdef012345 +2026-11-23 11:00:00 +2\.0 KiB +churn-1\n/,
    );
    assert.deepEqual(asked, [{ step: 'features', pipeline: 'p' }]);
  });

  test('clear says what it took out, or would', async () => {
    const clear: ClientCache['clear'] = () => Promise.resolve([result]);
    const setting = { client: { cache: { list: refuse, clear, why: refuse } } };
    assert.match((await cli(['cache', 'clear'], setting)).out, /Took 1 result out of the cache/);
    assert.match((await cli(['cache', 'clear', '--dry-run'], setting)).out, /1 result would be taken out/);
  });
});

describe('the cache options of anneal run', () => {
  const startRun = (started: StartRunOptions[]) => ({
    startRun: (_pipeline: string, options: StartRunOptions = {}) => {
      started.push(options);
      return Promise.resolve({ runId: 'r', executionId: 'e' });
    },
  });

  test('full verification travels with the start', async () => {
    const started: StartRunOptions[] = [];
    await cli(['run', 'churn-training', '--verify', 'full'], { client: startRun(started) });
    assert.deepEqual(started[0]?.cache, { verify: 'full' });
  });

  test('a step to refresh must be in the build, and verify must be a word that is known', async () => {
    const refresh = await cli(['run', 'churn-training', '--refresh', 'nothing']);
    assert.match(refresh.err, /--refresh names step "nothing", which the build does not have/);
    const verify = await cli(['run', 'churn-training', '--verify', 'fully']);
    assert.match(verify.err, /--verify is "fully"; it must be size or full/);
  });
});
