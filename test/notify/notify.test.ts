import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { createNotifyActivities, type NotificationRecord } from '../../src/activities/notify.js';
import { createEmailNotifier } from '../../src/adapters/notifiers/email.js';
import type { Notification } from '../../src/core/activities.js';
import { storeKeys } from '../../src/core/artifact-store.js';
import { createContext, createMemoryStore } from '../tracking/fixtures.js';
import { startSmtpServer, type SmtpServer } from './smtp-server.js';

const NOTIFICATION: Notification = {
  id: 'failure/1',
  event: 'failure',
  to: ['ml-alerts@company.com'],
  subject: 'Run nightly/1 failed',
  text: 'Step "train" failed.\n\nSee the log.',
  runId: 'nightly/1',
  executionId: 'exec-1',
};

function createNotify(notifiers: Parameters<typeof createNotifyActivities>[0]['notifiers']) {
  const store = createMemoryStore();
  const activities = createNotifyActivities({
    store,
    notifiers,
    clock: { nowMs: () => 7 },
    context: createContext(),
  });
  const record = () => {
    const bytes = store.objects.get(storeKeys.notification('exec-1', 'failure%2F1')) ?? new Uint8Array();
    return JSON.parse(Buffer.from(bytes).toString()) as NotificationRecord;
  };
  return { ...activities, record };
}

async function withSmtp(use: (smtp: SmtpServer) => Promise<void>): Promise<void> {
  const smtp = await startSmtpServer();
  try {
    await use(smtp);
  } finally {
    await smtp.close();
  }
}

describe('notifying people', () => {
  test('without a mail server writes the message into the run and says that it was not sent', async () => {
    const { notify, record } = createNotify([]);
    await notify(NOTIFICATION);
    assert.deepEqual(record(), {
      ...NOTIFICATION,
      recordedAtMs: 7,
      deliveredAtMs: {},
      note: 'Not sent to ml-alerts@company.com: no mail server is configured.',
    });
  });

  test('sends one e-mail however often it is repeated', () =>
    withSmtp(async (smtp) => {
      const { notify, record } = createNotify([createEmailNotifier({ smtpUrl: smtp.url })]);
      await notify(NOTIFICATION);
      await notify(NOTIFICATION);
      assert.equal(smtp.messages.length, 1);
      const [message = ''] = smtp.messages;
      assert.match(message, /^From: anneal@127\.0\.0\.1\r?$/m);
      assert.match(message, /^To: ml-alerts@company\.com\r?$/m);
      assert.match(message, /^Subject: Run nightly\/1 failed\r?$/m);
      assert.match(message, /^Message-ID: <[0-9a-f]{40}@anneal>\r?$/m);
      assert.match(message, /Step "train" failed\./);
      assert.deepEqual(record().deliveredAtMs, { email: 7 });
    }));

  test('fails while the mail server refuses, keeps the record, and sends with the next try', () =>
    withSmtp(async (smtp) => {
      smtp.refusals = 1;
      const { notify, record } = createNotify([createEmailNotifier({ smtpUrl: smtp.url })]);
      await assert.rejects(notify(NOTIFICATION), {
        code: 'NotificationFailed',
        message: /ml-alerts@company\.com .*451/,
      });
      assert.deepEqual(record().deliveredAtMs, {});
      await notify(NOTIFICATION);
      assert.equal(smtp.messages.length, 1);
    }));

  test('tries the other channels when one is dead, and never a channel again that has taken it', async () => {
    const taken: string[] = [];
    const dead = { channel: 'dead', send: () => Promise.reject(new Error('no route')) };
    const alive = { channel: 'alive', send: async ({ id }: Notification) => void taken.push(id) };
    const { notify } = createNotify([dead, alive]);
    await assert.rejects(notify(NOTIFICATION), /no route/);
    await assert.rejects(notify(NOTIFICATION), /no route/);
    assert.deepEqual(taken, ['failure/1']);
  });

  test('lets no header in through a subject', () =>
    withSmtp(async (smtp) => {
      const { notify } = createNotify([createEmailNotifier({ smtpUrl: smtp.url })]);
      await notify({ ...NOTIFICATION, subject: 'x\r\nBcc: everybody@company.com' });
      assert.doesNotMatch(smtp.messages[0] ?? '', /^Bcc:/m);
    }));

  test('refuses an address that is no mail server, without its password', () => {
    assert.throws(() => createEmailNotifier({ smtpUrl: 'http://me:secret@host' }), {
      code: 'InvalidConfig',
      message: /"http:\/\/host" is not the address of a mail server/,
    });
  });

  test('says that a mail server is away', async () => {
    const smtp = await startSmtpServer();
    await smtp.close();
    const { notify } = createNotify([createEmailNotifier({ smtpUrl: smtp.url })]);
    await assert.rejects(notify(NOTIFICATION), { code: 'NotificationFailed', message: /ECONNREFUSED/ });
  });
});
