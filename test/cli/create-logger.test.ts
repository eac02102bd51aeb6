import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runInNewContext } from 'node:vm';
import { createLogger } from '../../src/telemetry/create-logger.js';

test('the logger writes one flat JSON record, or one line for people', () => {
  const lines: string[] = [];
  const destination = { write: (text: string) => lines.push(text) };
  createLogger({ destination, fields: { project: 'shop' } }).info(
    { build: 'b1', token: 'abc' },
    'takes work',
  );
  createLogger({ destination, pretty: true, level: 'nonsense' }).warn({ pool: 'cpu' }, 'is full');
  createLogger({ destination, level: 'error' }).info('not said');
  assert.equal(lines.length, 2);
  const { time, ...record } = JSON.parse(lines[0] ?? '') as { time: string };
  assert.match(time, /^\d{4}-\d\d-\d\dT/);
  assert.deepEqual(record, {
    level: 'info',
    project: 'shop',
    build: 'b1',
    token: '[hidden]',
    msg: 'takes work',
  });
  assert.match(lines[1] ?? '', /^\d\d:\d\d:\d\d WARN {2}is full pool=cpu\n$/);
});

test('an error keeps its code, its causes and where it was thrown', () => {
  const lines: string[] = [];
  const destination = { write: (text: string) => lines.push(text) };
  const error = Object.assign(new Error('the run failed', { cause: new Error('no such column: churn') }), {
    type: 'StepFailed',
  });
  // As one of the workflow sandbox, which has an Error of its own.
  Object.setPrototypeOf(error, runInNewContext('Error.prototype') as object);
  createLogger({ destination }).warn({ error }, 'Workflow failed');
  createLogger({ destination, pretty: true }).warn({ error }, 'Workflow failed');
  const { error: written } = JSON.parse(lines[0] ?? '') as { error: { stack: string } };
  const { stack, ...rest } = written;
  assert.deepEqual(rest, { type: 'StepFailed', message: 'the run failed: no such column: churn' });
  assert.match(stack, /create-logger\.test/);
  assert.match(
    lines[1] ?? '',
    /WARN {2}Workflow failed error="StepFailed: the run failed: no such column: churn"\n$/,
  );
});

test('a record that keeps an error under err shows people where it was thrown', () => {
  const lines: string[] = [];
  const destination = { write: (text: string) => lines.push(text) };
  createLogger({ destination, pretty: true }).error({ err: new Error('disk full') }, 'could not write');
  assert.match(lines[0] ?? '', /ERROR could not write\nError: disk full\n {4}at /);
});

test('an error that left the workflow sandbox, which takes its code, is written without one', () => {
  const lines: string[] = [];
  const failure = Object.assign(new Error('no such table'), {
    name: 'ApplicationFailure',
    type: 'StepFailed',
  });
  const error = structuredClone(failure);
  createLogger({ destination: { write: (text: string) => lines.push(text) } }).warn({ error }, 'failed');
  const { error: written } = JSON.parse(lines[0] ?? '') as { error: object };
  assert.deepEqual(Object.keys(written), ['message', 'stack']);
});
