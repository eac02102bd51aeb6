import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { secretClashes, secretVariable } from '../../src/core/secret-variable.js';
import { shellWord } from '../../src/core/shell-word.js';
import { isS3Uri, readS3Uri, s3UriProblem } from '../../src/core/store-location.js';
import { explainStuck, PROBLEMS_ATTRIBUTE } from '../../src/core/stuck.js';
import { withoutCredentials } from '../../src/core/without-credentials.js';

describe('a store in S3', () => {
  for (const [uri, bucket, prefix] of [
    ['s3://abc', 'abc', ''],
    ['s3://abc/', 'abc', ''],
    ['s3://my-bucket.x1/team/a b', 'my-bucket.x1', 'team/a b/'],
    ['s3://abc/team/', 'abc', 'team/'],
    [`s3://${'a'.repeat(63)}/..x`, 'a'.repeat(63), '..x/'],
  ] as const)
    test(`${uri.slice(0, 40)} has its bucket and its prefix`, () => {
      assert.deepEqual(readS3Uri(uri), { bucket, prefix });
      assert.equal(s3UriProblem(uri), undefined);
    });

  const BUCKET =
    /^The store is ".*"; it must be s3:\/\/BUCKET or s3:\/\/BUCKET\/PREFIX; a bucket has 3 to 63 lower-case letters, digits, "-" and "\."\.$/;
  const SEGMENTS =
    /^The store is "[^]*"; it must be s3:\/\/BUCKET\/PREFIX without empty, "\." or "\.\." segments\.$/;
  for (const [uri, message] of [
    ['s3://', BUCKET],
    ['s3://ab', BUCKET],
    [`s3://${'a'.repeat(64)}`, BUCKET],
    ['s3://-abc', BUCKET],
    ['s3://abc-', BUCKET],
    ['s3://Abc', BUCKET],
    ['s3:///x', BUCKET],
    ['s3://abc//x', SEGMENTS],
    ['s3://abc/x//', SEGMENTS],
    ['s3://abc/./x', SEGMENTS],
    ['s3://abc/../x', SEGMENTS],
    ['s3://abc/a\0b', SEGMENTS],
    ['file:///x', /^The store is "file:\/\/\/x"; it must be s3:\/\/BUCKET or s3:\/\/BUCKET\/PREFIX\.$/],
  ] as const)
    test(`${JSON.stringify(uri.slice(0, 30))} is refused in one sentence`, () =>
      assert.throws(() => readS3Uri(uri), { code: 'InvalidConfig', message }));

  test('is known by how it begins', () => {
    assert.deepEqual(['s3://b', 'S3://b', 'xs3://b', '/s3'].map(isS3Uri), [true, false, false, false]);
  });
});

describe('secrets in the environment', () => {
  test('have a variable by name and key', () => {
    assert.equal(secretVariable({ name: 'db.main', key: 'pass-word1' }), 'ANNEAL_SECRET_DB_MAIN_PASS_WORD1');
  });

  test('clash where one variable would hold two, which is said once for each pair', () => {
    const [a, b, c] = [
      { name: 'db', key: 'a-b' },
      { name: 'db', key: 'a.b' },
      { name: 'db-a', key: 'b' },
    ];
    assert.deepEqual(secretClashes([a, a, { name: 'x', key: 'y' }]), []);
    assert.deepEqual(secretClashes([a, b, b, c]), [
      `secret('db', 'a-b') and secret('db', 'a.b') are different secrets of one environment variable, ANNEAL_SECRET_DB_A_B. Rename one of them.`,
      `secret('db', 'a-b') and secret('db-a', 'b') are different secrets of one environment variable, ANNEAL_SECRET_DB_A_B. Rename one of them.`,
    ]);
  });
});

describe('a run that cannot go on', () => {
  test('says why in words of the server, with the mend', () => {
    assert.equal(explainStuck([]), undefined);
    const said = (...problems: string[]) =>
      /every time \((.*)\)\. The worker's log/.exec(explainStuck(problems) ?? '')?.[1];
    assert.equal(
      said('category=WorkflowTaskFailed', 'cause=WorkflowTaskFailedCauseNonDeterministicError'),
      'non-deterministic error',
    );
    assert.equal(said('cause=WorkflowTaskTimedOutCauseStartToClose'), 'start to close');
    assert.equal(
      said('cause=WorkflowTaskBadBinary', 'cause=WorkflowTaskFailedCauseResetWorkflow'),
      'bad binary, reset workflow',
    );
    assert.equal(said('xcause=WorkflowTaskX', 'other'), 'xcause=WorkflowTaskX, other');
    assert.match(
      explainStuck(['x']) ?? '',
      /^The run is stuck: a worker fails .* end the run with: anneal terminate$/,
    );
    assert.equal(PROBLEMS_ATTRIBUTE, 'TemporalReportedProblems');
  });
});

describe('addresses and words that people see', () => {
  for (const [address, shown] of [
    ['https://ann:pw@host/x', 'https://host/x'],
    ['https://a@b@host', 'https://host'],
    ['HTTP+x.1-y://ann@host', 'HTTP+x.1-y://host'],
    ['https://host/a@b', 'https://host/a@b'],
    ['https://host?a@b', 'https://host?a@b'],
    ['https://host#a@b', 'https://host#a@b'],
    ['x https://ann@host', 'x https://ann@host'],
    ['1https://ann@host', '1https://ann@host'],
    ['ann@host', 'ann@host'],
  ] as const)
    test(`${address} is shown as ${shown}`, () => assert.equal(withoutCredentials(address), shown));

  test('are quoted for a shell where they must be', () => {
    assert.deepEqual(['a-b_1./x', 'a b', "it's", ''].map(shellWord), [
      'a-b_1./x',
      `'a b'`,
      `'it'\\''s'`,
      `''`,
    ]);
  });
});
