import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { approve, failTimes, fakeStep, reject, runPipeline, succeed } from 'anneal/testing';
import { churnTraining } from '../pipelines/churn-training.js';
import { evaluateModel, trainModel, validateData } from '../pipelines/steps.js';

const scores = (f1: number) => fakeStep(evaluateModel, { metrics: { f1 } });

describe('churn-training', () => {
  test('registers a model that passes the gate and makes it champion', async () => {
    const run = await runPipeline(churnTraining, {
      fakes: [scores(0.942)],
      models: { 'churn-predictor': { version: 3, metrics: { f1: 0.93 } } },
    });
    assert.equal(run.state, 'completed');
    assert.deepEqual(run.result, {
      promoted: true,
      model: 'churn-predictor',
      version: 4,
      replaced: 3,
      f1: 0.942,
    });
    assert.deepEqual(run.steps, [
      'ingest',
      'validate-data',
      'compute-features',
      'train-model',
      'evaluate-model',
    ]);
    assert.deepEqual(run.notifications, []);
  });

  test('tells people and registers nothing when the gate does not hold', async () => {
    const run = await runPipeline(churnTraining, {
      parameters: { table: 'wa_churn' },
      fakes: [scores(0.805)],
      models: { 'churn-predictor': { version: 1, metrics: { f1: 0.942 } } },
    });
    assert.equal(run.state, 'not-promoted');
    assert.deepEqual(run.registrations, []);
    const [message] = run.notifications;
    assert.equal(message?.subject, 'churn-training: F1 0.805 < 0.85; champion stays v1');
    assert.match(message.text, /f1 +0\.8050 +0\.9420/);
    assert.equal(run.call('ingest').parameters['table'], 'wa_churn');
  });

  test('waits for a person when asked to, and goes live after the approval', async () => {
    const options = { parameters: { approve: true }, fakes: [scores(0.95)] };
    const waiting = await runPipeline(churnTraining, {
      ...options,
      decisions: { promote: approve('ana', { after: '5h' }) },
    });
    assert.equal(waiting.state, 'completed');
    assert.equal(waiting.elapsedMs, 5 * 3_600_000);

    const rejected = await runPipeline(churnTraining, {
      ...options,
      decisions: { promote: reject('bo', { comment: 'drift' }) },
    });
    assert.equal(rejected.failure?.code, 'ApprovalRejected');
    assert.deepEqual(rejected.registrations, []);

    const ignored = await runPipeline(churnTraining, options);
    assert.equal(ignored.failure?.code, 'ApprovalExpired');
    assert.equal(ignored.elapsedMs, 3 * 86_400_000);
  });

  test('tries a failed training twice more, five minutes apart', async () => {
    const run = await runPipeline(churnTraining, {
      fakes: [scores(0.95), fakeStep(trainModel, failTimes(2, 'StepFailed'))],
    });
    assert.equal(run.state, 'completed');
    assert.equal(run.call('train-model').attempts, 3);
    assert.equal(run.elapsedMs, 10 * 60_000);
  });

  test('fails after the third failed training and writes to the alert list', async () => {
    const run = await runPipeline(churnTraining, {
      fakes: [fakeStep(trainModel, failTimes(3, 'StepFailed'))],
    });
    assert.equal(run.state, 'failed');
    assert.equal(run.failure?.code, 'StepFailed');
    assert.deepEqual(run.notifications[0]?.to, ['ml-alerts@company.com']);
  });

  test('ends a training that runs into its time limit', async () => {
    const run = await runPipeline(churnTraining, {
      fakes: [fakeStep(trainModel, succeed({}, { takes: '3h' }))],
    });
    assert.deepEqual(run.call('train-model').failures, ['StepTimedOut', 'StepTimedOut', 'StepTimedOut']);
  });

  test('stops at data that breaks its expectations and does not try them again', async () => {
    const run = await runPipeline(churnTraining, {
      fakes: [fakeStep(validateData, failTimes(1, 'StepRefused'))],
    });
    assert.equal(run.failure?.code, 'StepRefused');
    assert.deepEqual(run.steps, ['ingest', 'validate-data']);
  });

  test('refuses a threshold outside 0 to 1 before anything runs', async () => {
    const run = await runPipeline(churnTraining, { parameters: { threshold: 85 } });
    assert.equal(run.failure?.code, 'InvalidParameter');
    assert.match(
      run.failure.message,
      /"threshold" of pipeline "churn-training" is 85; it must be a number from 0 to 1/,
    );
    assert.deepEqual(run.calls, []);
  });
});
