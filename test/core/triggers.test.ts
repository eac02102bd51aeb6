import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { ParameterSchema } from '../../src/core/schema.js';
import {
  isAwaited,
  readAliasSource,
  triggeredParams,
  triggeredRunId,
  triggerKey,
  triggerProblems,
  triggerText,
  type TriggerDefinition,
  type TriggerEvent,
} from '../../src/core/triggers.js';

const ended: TriggerEvent = {
  kind: 'run',
  id: 'e1',
  runId: 'ingest/1',
  executionId: 'x1',
  pipeline: 'ingest',
  state: 'completed',
  parameters: { table: 'customers', list: [1, 2] },
  result: { rows: 3, nothing: null },
  atMs: 5,
};

describe('a trigger', () => {
  test('is put in words', () => {
    assert.equal(triggerText({ after: 'ingest' }), 'after ingest (completed)');
    const on = ['failed', 'timed-out'] as const;
    assert.equal(triggerText({ after: 'ingest', on }), 'after ingest (failed, timed-out)');
    assert.equal(triggerText({ alias: 'churn@champion' }), 'when churn@champion moves');
  });

  test('is another one with another source, not with other parameters', () => {
    const key = triggerKey({ after: 'ingest' });
    assert.match(key, /^[0-9a-f]{12}$/);
    assert.equal(triggerKey({ after: 'ingest', params: { a: 1 } }), key);
    assert.notEqual(triggerKey({ after: 'other' }), key);
    assert.notEqual(triggerKey({ after: 'ingest', on: ['failed'] }), key);
    assert.equal(triggeredRunId('train', key, ended), `train/triggered/${key}/e1`);
  });

  test('waits for the end of one pipeline, or for the moves of one alias', () => {
    const pipelines = [{}, { triggers: [{ after: 'ingest' }, { alias: 'churn@champion' }] }];
    const run = (pipeline: string) => isAwaited(pipelines, { kind: 'run', pipeline });
    const alias = (name: string) => isAwaited(pipelines, { kind: 'alias', alias: name });
    assert.deepEqual([run('ingest'), run('churn@champion'), run('other')], [true, false, false]);
    assert.deepEqual([alias('churn@champion'), alias('ingest'), alias('other')], [true, false, false]);
    assert.equal(isAwaited([{}], { kind: 'run', pipeline: 'ingest' }), false);
  });

  test('names an alias as model@alias', () => {
    assert.deepEqual(readAliasSource('churn@champion'), { model: 'churn', alias: 'champion' });
    for (const wrong of [
      'churn',
      '@champion',
      'churn@',
      'a@b@c',
      'churn@cham pion',
      `churn@${'a'.repeat(256)}`,
    ])
      assert.equal(readAliasSource(wrong), undefined, wrong);
  });
});

describe('what an event gives to the run that it starts', () => {
  const given = (params: TriggerDefinition['params']) =>
    triggeredParams({ after: 'ingest', ...(params && { params }) }, ended);

  test('is what its paths lead to, and values as they are', () => {
    assert.deepEqual(given(undefined), {});
    assert.deepEqual(
      given({
        table: { from: 'parameters.table' },
        rows: { from: 'result.rows' },
        nothing: { from: 'result.nothing' },
        whole: { from: 'result' },
        fixed: 7,
        none: null,
        list: ['from'],
        text: 'from',
        more: { from: 'runId', also: 1 },
        other: { from: 1 },
        another: { to: 'runId' },
      }),
      {
        table: 'customers',
        rows: 3,
        nothing: null,
        whole: { rows: 3, nothing: null },
        fixed: 7,
        none: null,
        list: ['from'],
        text: 'from',
        more: { from: 'runId', also: 1 },
        other: { from: 1 },
        another: { to: 'runId' },
      },
    );
  });

  test('leaves out what the event does not have, and what its members have by nature', () => {
    for (const from of ['result.more', 'result.nothing.deep', 'runId.length', 'result.toString', 'partition'])
      assert.deepEqual(given({ value: { from } }), {}, from);
  });
});

describe('triggers that are wrong', () => {
  const number: ParameterSchema = { type: 'number' };
  const params: { readonly [name: string]: ParameterSchema } = {
    rows: number,
    limit: { type: 'number', default: 1 },
    data: { type: 'json', default: {} },
  };
  const problems = (...triggers: TriggerDefinition[]) =>
    triggerProblems([
      { name: 'ingest', params: {} },
      { name: 'train', params, triggers },
    ]);

  const CASES: readonly (readonly [TriggerDefinition, RegExp])[] = [
    [{ after: 'ingest', params: { row: 1 } }, /the pipeline has no parameter "row".*rows/],
    [{ after: 'ingset' }, /there is no pipeline "ingset".*ingest/],
    [{ alias: 'champion' }, /"champion" is no alias; write such as "churn-predictor@champion"\.$/],
    [
      { after: 'ingest', on: ['done' as 'failed'] },
      /"done" is none of completed, not-promoted, failed, cancelled, terminated, timed-out\.$/,
    ],
    [
      { after: 'ingest', params: { rows: { from: 'results.rows' } } },
      /its event has no "results".*; it has runId, executionId, pipeline, state, parameters, partition, result, atMs\.$/,
    ],
    [
      { alias: 'churn@champion', params: { rows: { from: 'runId' } } },
      /its event has no "runId".*; it has model, alias, version, replaced, by, atMs\.$/,
    ],
    [{ after: 'ingest', params: { rows: 'many' } }, /its parameter "rows" is "many"; it must be /],
    [{ after: 'ingest', params: { rows: null } }, /its parameter "rows" is null; it must be /],
  ];
  for (const [trigger, problem] of CASES)
    test(JSON.stringify(trigger), () => {
      const [found = '', ...more] = problems(trigger);
      assert.match(found, /^A trigger of pipeline "train" is wrong: /);
      assert.match(found, problem);
      assert.deepEqual(more, []);
    });

  test('while these are right', () => {
    assert.deepEqual(
      problems(
        {
          after: 'ingest',
          on: ['failed'],
          params: { rows: { from: 'result.rows' }, limit: null, data: null },
        },
        { alias: 'churn@champion', params: { rows: 3, limit: { from: 'version' } } },
      ),
      [],
    );
  });

  test('in a circle start each other for ever', () => {
    const pipeline = (name: string, ...after: string[]) => ({
      ...{ name, params: {} },
      triggers: after.map((one) => ({ after: one })),
    });
    const circle = (...pipelines: ReturnType<typeof pipeline>[]) => triggerProblems(pipelines);
    assert.deepEqual(circle(pipeline('a', 'b'), pipeline('b', 'c'), pipeline('c')), []);
    assert.deepEqual(circle(pipeline('z', 'a'), pipeline('a', 'c'), pipeline('b', 'a'), pipeline('c', 'b')), [
      'Pipelines start each other for ever: a → b → c → a. Take one of these triggers out.',
    ]);
    assert.match(circle(pipeline('x'), pipeline('a', 'x', 'a'))[0] ?? '', /: a → a\./);
  });
});
