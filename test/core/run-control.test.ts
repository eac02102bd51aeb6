import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { RecordedDecision } from '../../src/core/approval.js';
import { callIdOf, type Journal } from '../../src/core/journal.js';
import { makerOf, problemOfChange, problemOfControl, seedOf, stepsOf } from '../../src/core/run-control.js';

const of = { runId: 'nightly', executionId: 'exec' };
const journal: Journal = {
  version: 1,
  entries: [
    { k: 'step:ingest|aa|0', v: { data: 1 } },
    { k: 'now:||0', v: 5 },
    { k: 'step:train|bb|0', f: { code: 'StepFailed', message: 'no' } },
    { k: 'approval:go-live|cc|0', v: { by: 'ana', approvedBy: ['ana'] } },
    { k: 'step:train|bb|1', v: { model: 1 }, t: 3 },
    { k: 'step:evaluate|dd|0', v: {} },
  ],
  pending: { 'sleep:|5|0': { deadlineMs: 1 } },
};
const keys = (choice: Parameters<typeof seedOf>[2]) =>
  seedOf(of, { journal }, choice).entries.map(({ k }) => k);

describe('what a retry takes up', () => {
  test('is every answer but failures and approvals', () => {
    assert.deepEqual(keys({}), ['step:ingest|aa|0', 'now:||0', 'step:train|bb|1', 'step:evaluate|dd|0']);
    assert.deepEqual(seedOf(of, { journal }, {}).of, of);
  });

  test('is the decisions behind approvals too, where that is asked', () => {
    const decided = (by: string, more: Partial<RecordedDecision>): RecordedDecision => ({
      ...{ gate: 'go-live', digest: 'd', decision: 'approve', by, id: by, callId: '', receivedAtMs: 1 },
      ...{ verified: true, ...more },
    });
    const callId = callIdOf('exec', 'approval:go-live|cc|0');
    const before = { runId: 'first', executionId: 'exec-0' };
    const decisions = [
      decided('ana', { callId }),
      decided('bo', { callId, keptFrom: before }),
      decided('cy', { callId: 'of another call' }),
      decided('dee', {}),
      decided('ana', { gate: 'other' }),
    ];
    const kept = (choice: Parameters<typeof seedOf>[2]) =>
      seedOf(of, { journal, decisions }, choice).decisions?.map(({ by, keptFrom }) => [by, keptFrom]);
    assert.deepEqual(kept({ keepApprovals: true }), [
      ['ana', of],
      ['bo', before],
    ]);
    assert.deepEqual(
      kept({ keepApprovals: true, from: 'train' }),
      kept({ keepApprovals: true }),
      'also where what they are on is made again: the gate judges them by its digest',
    );
    assert.equal(kept({}), undefined);
    assert.deepEqual(keys({ keepApprovals: true }), keys({}));
    const unknown = seedOf(
      of,
      { journal, decisions: [decided('ana', {}), decided('eve', {})] },
      { keepApprovals: true },
    );
    assert.deepEqual(
      unknown.decisions,
      [decided('ana', { callId, keptFrom: of })],
      'of a run without a record',
    );
  });

  test('ends where the first call of the step from which it begins had settled', () => {
    assert.deepEqual(keys({ from: 'train' }), ['step:ingest|aa|0', 'now:||0']);
    assert.deepEqual(keys({ from: 'evaluate', keepApprovals: true }).at(-1), 'step:train|bb|1');
    assert.deepEqual(keys({ from: 'ingest' }), []);
    assert.deepEqual(keys({ from: 'ing' }), keys({}));
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
    assert.deepEqual(
      makerOf({ a: { uri: 5 }, b: { uri: 's3://elsewhere/data' }, model: { uri } })?.executionId,
      'exec-1',
    );
    assert.equal(makerOf({}), undefined);
    assert.equal(makerOf(null), undefined);
  });
});

describe('what operators send', () => {
  test('names who asks', () => {
    assert.equal(problemOfControl({ by: 'ana' }), undefined);
    for (const wrong of [undefined, null, 'ana', {}, { by: '' }, { by: 5 }])
      assert.match(problemOfControl(wrong) ?? '', /It needs "by"/);
    for (const reason of ['x'.repeat(1_001), 5, null])
      assert.equal(problemOfControl({ by: 'ana', reason }), '"reason" is a text of at most 1000 characters.');
    assert.equal(problemOfControl({ by: 'x'.repeat(1_000), reason: 'x'.repeat(1_000) }), undefined);
    assert.equal(
      problemOfControl({ by: 'x'.repeat(1_001) }),
      'It needs "by", a text of 1 to 1000 characters: who asks.',
    );
  });

  test('is checked against what can be', () => {
    const problem = (change: object) =>
      problemOfChange({ step: 'train', by: 'ana', ...change }, ['cpu', 'gpu']);
    assert.equal(problem({ timeout: '2h', memory: '16Gi', pool: 'gpu' }), undefined);
    for (const one of [{ timeout: '2h' }, { memory: '16Gi' }, { pool: 'gpu' }])
      assert.equal(problem(one), undefined);
    assert.match(problem({ by: '' }) ?? '', /needs "by"/);
    assert.match(problem({ step: 5, pool: 'cpu' }) ?? '', /needs "step"/);
    for (const timeout of ['0s', 5])
      assert.match(problem({ timeout }) ?? '', /"timeout" is .*; it must be a duration/);
    for (const pool of [5, null, ''])
      assert.match(problem({ pool }) ?? '', /"pool" is .*; the run has cpu, gpu\.$/);
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
