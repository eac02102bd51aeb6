import assert from 'node:assert/strict';
import { mkdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, beforeEach, describe, test } from 'node:test';

import type { DeliveryRecord, NotificationRecord } from '../../src/activities/notify.js';
import { storeKeys } from '../../src/core/artifact-store.js';
import type { RunStatus } from '../../src/core/run.js';
import { startDeskWorld, type DeskWorld } from '../cli/desk-world.js';
import { startMailServer, type MailServer } from './support/mail-server.js';
import { until } from './support/until.js';

describe('people who are told, and a mail server with TLS and a password', () => {
  let mail: MailServer;
  let world: DeskWorld;
  before(async () => {
    mail = await startMailServer({ user: 'ml', password: 'p@ss/word' });
    world = await startDeskWorld({
      ANNEAL_SMTP_URL: `smtp://ml:p%40ss%2Fword@127.0.0.1:${mail.port}?tls.rejectUnauthorized=false`,
    });
    await world.startWorker();
  });
  beforeEach(() => mail.reset());
  after(async () => {
    await world.close();
    await mail.close();
  });

  const fail = async (id: string) => {
    const { code, document } = await world.cli(['run', 'breaks', '--id', id, '--wait', '--json']);
    assert.equal(code, 1);
    assert.equal((document()['failure'] as { code: string }).code, 'StepFailed');
    return document()['executionId'] as string;
  };
  const read = async <T>(key: string) =>
    JSON.parse(await readFile(path.join(world.paths.stateDir, 'store', key), 'utf8')) as T;
  const recordOf = async (executionId: string) =>
    await read<NotificationRecord>(storeKeys.notification(executionId, `failure-${executionId}`));
  const fateOf = async (executionId: string) =>
    await read<DeliveryRecord>(
      storeKeys.delivery({ executionId, id: `failure-${executionId}`, channel: 'email' }),
    );
  const mailed = async (count: number) =>
    await until(`${count} messages came`, () => mail.messages.length >= count && mail.messages);

  test('get one message with the step, its reason, its log, where to look and how to go on', async () => {
    const executionId = await fail('nightly/1');
    const delivered = await until('it is written down', async () => {
      const fate = await fateOf(executionId);
      return fate.deliveredAtMs !== undefined && fate;
    });
    assert.equal(delivered.tries, 1);
    const [message, ...more] = mail.messages;
    assert.deepEqual(more, []);
    assert.deepEqual([message?.to, message?.subject], ['ml-alerts@company.com', 'breaks failed: nightly/1']);
    assert.match(message?.text ?? '', /^StepFailed: Step "fail" ended with exit code 3\..* no such table/);
    assert.match(message?.text ?? '', /^Step: +fail, attempt 1 on pool cpu$/m);
    assert.match(message?.text ?? '', /^Look: +npx anneal describe nightly\/1$/m);
    assert.match(message?.text ?? '', /^Retry: +npx anneal retry nightly\/1$/m);
    assert.match(message?.text ?? '', /^ {2}no such table$/m);
    assert.ok(message?.secure, 'over TLS');
    assert.equal((await recordOf(executionId)).step?.name, 'fail');
  });

  test('are no matter of the run: it has ended while the mail server is still away', async () => {
    mail.busy = Number.POSITIVE_INFINITY;
    const executionId = await fail('nightly/2');
    const { list } = await world.cli(['list', '--json']);
    assert.equal(list().find((run) => run['runId'] === 'nightly/2')?.['state'], 'failed');
    await until('it was tried', async () => (await fateOf(executionId)).note !== undefined);
    assert.deepEqual(mail.messages, []);
    mail.busy = 0;
    await mailed(1);
    await until('it is written down', async () => (await fateOf(executionId)).deliveredAtMs !== undefined);
    assert.equal(mail.messages.length, 1);
  });

  test('are not told with a wrong password, and the notifications of the run say what to mend', async () => {
    mail.password = 'another';
    const executionId = await fail('nightly/3');
    const { note } = await until('it was tried', async () => await fateOf(executionId));
    assert.deepEqual(mail.messages, []);
    assert.match(note ?? '', /was not taken by 127\.0\.0\.1:\d+: .*535.*ANNEAL_SMTP_URL/);
  });

  test('hear of a run that was terminated, which has a record then', async () => {
    const control = path.join(world.root, 'control');
    await mkdir(control);
    await world.cli(['run', 'talks', '--id', 'talk/1', '--param', `control=${control}`]);
    await until('it runs', async () => await readFile(path.join(control, 'pid'), 'utf8'));
    await world.cli(['terminate', 'talk/1', '--reason', 'enough']);
    const [message] = await mailed(1);
    assert.deepEqual([message?.subject, message?.to], ['talks was terminated: talk/1', 'night@company.com']);
    assert.match(message?.text ?? '', /^The run was terminated: enough\n/);
    const { document } = await world.cli(['describe', 'talk/1', '--json']);
    const executionId = document()['executionId'] as string;
    const record = await until(
      'it has a record',
      async () => await read<RunStatus>(storeKeys.run(executionId)),
    );
    assert.equal(record.state, 'terminated');
    assert.deepEqual(
      record.calls.map(({ name, state }) => [name, state]),
      [['talk', 'cancelled']],
    );
  });
});
