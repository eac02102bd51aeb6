import assert from 'node:assert/strict';
import { test } from 'node:test';
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
