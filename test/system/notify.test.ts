import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, beforeEach, describe, test } from 'node:test';

import type { NotificationRecord } from '../../src/activities/notify.js';
import { startDeskWorld, type DeskWorld } from '../cli/desk-world.js';
import { startMailServer, type MailServer } from './support/mail-server.js';

describe('a run that fails, and a mail server with TLS and a password', () => {
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
    const executionId = document()['executionId'] as string;
    const directory = path.join(world.paths.stateDir, 'store', 'runs', executionId, 'notifications');
    const [file = ''] = await readdir(directory);
    return JSON.parse(await readFile(path.join(directory, file), 'utf8')) as NotificationRecord;
  };

  test('mails one message with the step, its reason and where to look', async () => {
    const record = await fail('nightly/1');
    const [message, ...more] = mail.messages;
    assert.deepEqual(more, []);
    assert.deepEqual([message?.to, message?.subject], ['ml-alerts@company.com', 'breaks failed: nightly/1']);
    assert.match(message?.text ?? '', /^StepFailed: Step "fail" ended with exit code 3\..* no such table/);
    assert.match(message?.text ?? '', /^Look: +npx anneal describe nightly\/1$/m);
    assert.ok(message?.secure, 'over TLS');
    assert.ok(record.deliveredAtMs['email']);
  });

  test('tries again when the server is busy', async () => {
    mail.busy = 1;
    const record = await fail('nightly/2');
    assert.equal(mail.messages.length, 1);
    assert.equal(record.note, undefined);
  });

  test('fails with its own failure when the password is wrong, and says in its notifications what to mend', async () => {
    mail.password = 'another';
    const record = await fail('nightly/3');
    assert.deepEqual(mail.messages, []);
    assert.match(record.note ?? '', /was not taken by 127\.0\.0\.1:\d+: .*535.*ANNEAL_SMTP_URL/);
  });
});
