import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import {
  AnnealError,
  failureCodeOfExit,
  failureRow,
  FAILURES,
  isFailureCode,
} from '../../src/core/failures.js';

describe('the failure table', () => {
  test('has a sentence for every code', () => {
    for (const [code, { summary }] of Object.entries(FAILURES)) {
      assert.match(code, /^[A-Z][A-Za-z]+$/);
      assert.match(summary, /^[A-Za-z].*\.$/, code);
    }
  });

  test('retries no failure of a configuration, and every one of the infrastructure', () => {
    for (const [code, { kind, retry }] of Object.entries(FAILURES)) {
      if (kind === 'config') assert.equal(retry, 'never', code);
      if (kind === 'infrastructure') assert.equal(retry, 'infrastructure', code);
      if (retry === 'step') assert.ok(kind === 'user' || kind === 'resource', code);
    }
  });

  test('knows its own codes alone', () => {
    for (const code of Object.keys(FAILURES)) assert.ok(isFailureCode(code));
    for (const text of [
      '',
      'stepFailed',
      'toString',
      '__proto__',
      'constructor',
      'null',
      'undefined',
      null,
      undefined,
    ])
      assert.equal(isFailureCode(text), false, String(text));
  });

  test('takes exit codes 64 to 78 but 75 as "the same input fails again"', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 255 }), (exitCode) => {
        const refused = exitCode >= 64 && exitCode <= 78 && exitCode !== 75;
        assert.equal(failureCodeOfExit(exitCode), refused ? 'StepRefused' : 'StepFailed', String(exitCode));
        assert.equal(failureRow(failureCodeOfExit(exitCode)).retry, refused ? 'never' : 'step');
      }),
    );
  });

  for (const [exitCode, code] of [
    [63, 'StepFailed'],
    [64, 'StepRefused'],
    [74, 'StepRefused'],
    [75, 'StepFailed'],
    [76, 'StepRefused'],
    [78, 'StepRefused'],
    [79, 'StepFailed'],
  ] as const)
    test(`calls exit code ${exitCode} ${code}`, () => assert.equal(failureCodeOfExit(exitCode), code));

  test('gives errors their code, and keeps the cause', () => {
    const cause = new Error('disk full');
    const error = new AnnealError('StoreUnavailable', 'The store does not answer.', { cause });
    assert.deepEqual(
      [error.name, error.code, error.message],
      ['AnnealError', 'StoreUnavailable', 'The store does not answer.'],
    );
    assert.equal(error.cause, cause);
  });
});
