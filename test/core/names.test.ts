import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { attemptName, slug, type AttemptIdentity } from '../../src/core/attempt.js';
import { digestOfText } from '../../src/core/digest.js';
import { laneWorkflowId, registrationKey, type RegistrationIdentity } from '../../src/core/registry.js';
import {
  ADMISSION_ADMITTED,
  ADMISSION_ENTER,
  ADMISSION_LEAVE,
  ADMISSION_WORKFLOW,
  admissionWorkflowId,
} from '../../src/core/admission.js';
import {
  LANE_ANSWER,
  LANE_OPERATE,
  LANE_SUBMIT,
  LANE_WITHDRAW,
  LANE_WORKFLOW,
  REGISTRATION_KEY_TAG,
} from '../../src/core/registry.js';
import { JOURNAL_QUERY, PAUSE_RUN, RESUME_RUN, RETRY_MEMO, SET_STEP } from '../../src/core/run-control.js';
import { SWEEP_NOW, SWEEPER_WORKFLOW, sweeperWorkflowId } from '../../src/core/sweep.js';
import {
  CACHE_MEMO,
  CACHE_PARAMETER,
  CALL_MARKS,
  clusterControlTaskQueue,
  clusterPoolTaskQueue,
  controlTaskQueue,
  DECIDE_APPROVAL,
  INLINE_PAYLOAD,
  pipelinesTaskQueue,
  STARTED_BY_MEMO,
  STATUS_ATTRIBUTE,
  STATUS_QUERY,
  TAGS_ATTRIBUTE,
  processPoolTaskQueue,
  systemTaskQueue,
  toPathSegment,
} from '../../src/core/run.js';

const identity: AttemptIdentity = {
  namespace: 'default',
  workflowId: 'churn-training-1',
  epoch: '0199f6a8-1f7f-7a3e-9d6b-2f3c1c9a0001',
  step: 'train-model',
  index: 0,
  attempt: 1,
};

describe('names of attempts', () => {
  // Running Jobs and stored outputs carry these: a change of them is a change of the format.
  for (const [change, name] of [
    [{}, 'train-model-6eqwp6hluy7fd5li-a1'],
    [{ attempt: 12 }, 'train-model-6eqwp6hluy7fd5li-a12'],
    [{ index: 1 }, 'train-model-fs43bqna6cpev63a-a1'],
    [{ step: 'A very long name of a step' }, 'a-very-long-name-o-ezhlx53y4yxukdc4-a1'],
  ] as const)
    test(`stay what they are: ${name}`, () => assert.equal(attemptName({ ...identity, ...change }), name));

  test('are DNS labels of at most 40 characters', () => {
    fc.assert(
      fc.property(
        fc.record({
          namespace: fc.string(),
          workflowId: fc.string({ maxLength: 300 }),
          epoch: fc.uuid(),
          step: fc.string({ unit: 'grapheme', maxLength: 80 }),
          index: fc.nat(),
          attempt: fc.integer({ min: 1, max: 999 }),
        }),
        (id) => {
          const name = attemptName(id);
          assert.match(name, /^[a-z]([a-z0-9-]*[a-z0-9])?$/);
          assert.ok(name.length <= 40, name);
        },
      ),
    );
  });

  test('differ where anything of the attempt differs', () => {
    const changes: readonly Partial<AttemptIdentity>[] = [
      {},
      { namespace: 'other' },
      { workflowId: 'churn-training-2' },
      { epoch: '0199f6a8-1f7f-7a3e-9d6b-2f3c1c9a0002' },
      { step: 'train-models' },
      { index: 1 },
      { attempt: 2 },
    ];
    assert.equal(
      new Set(changes.map((change) => attemptName({ ...identity, ...change }))).size,
      changes.length,
    );
  });

  for (const [text, name] of [
    ['train', 'train'],
    ['Train Model!', 'train-model'],
    ['--a--b--', 'a-b'],
    ['42nd', 'nd'],
    ['', 's'],
    ['数据', 's'],
    ['abcdefgh-ijk', 'abcdefgh'],
    ['a - b', 'a-b'],
  ] as const)
    test(`"${text}" is "${name}" in eight characters or nine`, () =>
      assert.equal(slug(text, text === 'abcdefgh-ijk' ? 9 : 11), name));
});

describe('run ids as path segments', () => {
  const long = 'x/'.repeat(150);
  for (const [id, segment] of [
    ['churn-training-1', 'churn-training-1'],
    ['team/churn 1', 'team%2Fchurn%201'],
    ['..', '%2E%2E'],
    ["it's (new)*~!", 'it%27s%20%28new%29%2A%7E%21'],
    ['z'.repeat(200), 'z'.repeat(200)],
    ['z'.repeat(201), `${'z'.repeat(150)}~${digestOfText('z'.repeat(201)).slice(0, 32)}`],
    [long, `${'x%2F'.repeat(38).slice(0, 150)}~${digestOfText(long).slice(0, 32)}`],
  ] as const)
    test(`${id.slice(0, 30)} (${id.length} characters) is ${segment.slice(0, 40)}`, () =>
      assert.equal(toPathSegment(id), segment));

  test('hold nothing that a path or URL reads, at any length', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', minLength: 1, maxLength: 300 }), (id) => {
        const segment = toPathSegment(id);
        assert.match(segment, /^[A-Za-z0-9_%~-]{1,200}$/);
      }),
    );
  });

  test('of two ids are two', () => {
    const ids = fc.oneof(
      fc.string({ maxLength: 300 }),
      fc.constantFrom(
        'a',
        'a/',
        'a%2F',
        long,
        `${long}x`,
        toPathSegment(long),
        'y'.repeat(300),
        toPathSegment('y'.repeat(300)),
      ),
    );
    fc.assert(fc.property(ids, ids, (a, b) => assert.equal(toPathSegment(a) === toPathSegment(b), a === b)));
  });

  test('cannot be chosen to be those of a long id', () => {
    const chosen = toPathSegment('y'.repeat(300));
    assert.notEqual(toPathSegment(chosen), chosen);
  });
});

describe('names in Temporal and MLflow', () => {
  test('of queues and lanes stay what they are', () => {
    assert.deepEqual(
      [
        pipelinesTaskQueue('churn'),
        systemTaskQueue('churn'),
        processPoolTaskQueue('churn', 'gpu', 'host-1'),
        clusterPoolTaskQueue('churn', 'gpu'),
        controlTaskQueue('churn', 'host-1'),
        clusterControlTaskQueue('churn'),
        laneWorkflowId('m'),
        admissionWorkflowId('churn', 'nightly'),
        sweeperWorkflowId('churn'),
      ],
      [
        ...['churn/pipelines', 'churn/anneal', 'churn/gpu@host-1', 'churn/gpu'],
        ...[
          'churn/control@host-1',
          'churn/control',
          'model/m',
          'admission/churn/nightly',
          'anneal/churn/sweeper',
        ],
      ],
    );
  });

  test('of workflow types, signals, updates, queries, memos and tags stay what they are: open runs are called by them', () => {
    assert.deepEqual(
      [
        ...[ADMISSION_WORKFLOW, ADMISSION_ENTER, ADMISSION_LEAVE, ADMISSION_ADMITTED],
        ...[LANE_WORKFLOW, LANE_SUBMIT, LANE_WITHDRAW, LANE_OPERATE, LANE_ANSWER, REGISTRATION_KEY_TAG],
        ...[SWEEPER_WORKFLOW, SWEEP_NOW, PAUSE_RUN, RESUME_RUN, SET_STEP, JOURNAL_QUERY, RETRY_MEMO],
        ...[STATUS_ATTRIBUTE, TAGS_ATTRIBUTE, STATUS_QUERY, INLINE_PAYLOAD, DECIDE_APPROVAL],
        ...[STARTED_BY_MEMO, CACHE_MEMO, CACHE_PARAMETER],
      ],
      [
        ...['anneal.admission', 'enter', 'leave', 'admitted'],
        ...[
          'anneal.model-lane',
          'submit',
          'withdraw',
          'operate',
          'laneAnswer',
          'mlflow.anneal.idempotencyKey',
        ],
        ...['anneal.sweeper', 'sweep', 'pause', 'resume', 'set', 'journal', 'anneal.retryOf'],
        ...['AnnealStatus', 'AnnealTags', 'status', 'anneal-inline', 'decide'],
        ...['anneal.startedBy', 'anneal.cache', '$cache'],
      ],
    );
  });

  test('of call states have a mark each', () => {
    assert.deepEqual(Object.values(CALL_MARKS).join(''), '▶↻⏸✔⚡✘◼');
  });

  const registration: RegistrationIdentity = {
    namespace: 'default',
    workflowId: 'churn-training-1',
    executionId: '0199f6a8-1f7f-7a3e-9d6b-2f3c1c9a0001',
    step: 'register-model',
    model: 'churn-predictor',
    digest: 'd'.repeat(64),
  };

  test('a registration keeps its key for ever', () => {
    assert.equal(
      registrationKey(registration),
      '85710154647c460c45ed7651eba2ea9eaafd64bf776bf13f5e889fdc5364731f',
    );
  });

  test('another registration has another key', () => {
    const fields = ['namespace', 'workflowId', 'executionId', 'step', 'model', 'digest'] as const;
    fc.assert(
      fc.property(fc.constantFrom(...fields), fc.string(), (field, text) => {
        const other = { ...registration, [field]: text };
        assert.equal(registrationKey(other) === registrationKey(registration), text === registration[field]);
      }),
    );
    // What one field ends with, the next cannot begin with instead.
    assert.notEqual(
      registrationKey({ ...registration, step: 'a', model: 'bc' }),
      registrationKey({ ...registration, step: 'ab', model: 'c' }),
    );
  });
});
