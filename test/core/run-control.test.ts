import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Journal } from '../../src/core/journal.js';
import { makerOf, problemOfChange, problemOfControl, seedOf, stepsOf } from '../../src/core/run-control.js';

const of = { runId: 'nightly', executionId: 'exec' };
const journal: Journal = {
  version: 1,
  entries: [
    { k: 'step:ingest|aa|0', v: { data: 1 } },
    { k: 'now:||0', v: 5 },
    { k: 'step:train|bb|0', f: { code: 'StepFailed', message: 'no' } },
    { k: 'approval:go-live|cc|0', v: { by: 'ana' } },
    { k: 'step:train|bb|1', v: { model: 1 }, t: 3 },
    { k: 'step:evaluate|dd|0', v: {} },
  ],
  pending: { 'sleep:|5|0': { deadlineMs: 1 } },
};
const keys = (choice: Parameters<typeof seedOf>[2]) => seedOf(of, journal, choice).entries.map(({ k }) => k);

describe('what a retry takes up', () => {
  test('is every answer but failures and approvals', () => {
    assert.deepEqual(keys({}), ['step:ingest|aa|0', 'now:||0', 'step:train|bb|1', 'step:evaluate|dd|0']);
    assert.deepEqual(seedOf(of, journal, {}).of, of);
  });

  test('is approvals too, where that is asked', () => {
    assert.ok(keys({ keepApprovals: true }).includes('approval:go-live|cc|0'));
  });

  test('ends where the first call of the step from which it begins had settled', () => {
    assert.deepEqual(keys({ from: 'train' }), ['step:ingest|aa|0', 'now:||0']);
    assert.deepEqual(keys({ from: 'evaluate', keepApprovals: true }).at(-1), 'step:train|bb|1');
  });

  test('names the steps that have answers, once each', () => {
    assert.deepEqual(stepsOf(journal), ['ingest', 'train', 'evaluate']);
  });

  test('knows the attempt that made an artifact by its address', () => {
    const uri = 's3://bucket/team/runs/exec-1/attempts/train-abc-a2/outputs/model';
    assert.deepEqual(makerOf({ rows: 5, model: { uri } }), {
      executionId: 'exec-1',
      attemptName: 'train-abc-a2',
    });
    assert.equal(makerOf({ model: { uri: 's3://elsewhere/data' } }), undefined);
    assert.equal(makerOf(null), undefined);
  });
});

describe('what operators send', () => {
  test('names who asks', () => {
    assert.equal(problemOfControl({ by: 'ana' }), undefined);
    for (const wrong of [undefined, null, 'ana', {}, { by: '' }, { by: 5 }])
      assert.match(problemOfControl(wrong) ?? '', /It needs "by"/);
    assert.match(problemOfControl({ by: 'ana', reason: 'x'.repeat(1_001) }) ?? '', /"reason" is a text/);
  });

  test('is checked against what can be', () => {
    const problem = (change: object) =>
      problemOfChange({ step: 'train', by: 'ana', ...change }, ['cpu', 'gpu']);
    assert.equal(problem({ timeout: '2h', memory: '16Gi', pool: 'gpu' }), undefined);
    assert.match(problem({}) ?? '', /changes nothing/);
    assert.match(problem({ step: '', pool: 'cpu' }) ?? '', /needs "step"/);
    assert.match(problem({ timeout: 'soon' }) ?? '', /"timeout" is "soon"; it must be a duration/);
    assert.match(problem({ memory: 16 }) ?? '', /"memory" is 16; it must be an amount/);
    assert.match(
      problem({ pool: 'gpus' }) ?? '',
      /"pool" is "gpus"; the run has cpu, gpu\. Did you mean "gpu"\?/,
    );
  });
});
