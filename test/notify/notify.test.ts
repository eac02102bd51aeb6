import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { createNotifyActivities, type NotificationRecord } from '../../src/activities/notify.js';
import { createEmailNotifier } from '../../src/adapters/notifiers/email.js';
import type { Notification } from '../../src/core/activities.js';
import { storeKeys } from '../../src/core/artifact-store.js';
import { startMailServer } from '../system/support/mail-server.js';
import { createContext, createMemoryStore } from '../tracking/fixtures.js';
import { startSmtpServer, type SmtpServer } from './smtp-server.js';

const NOTIFICATION: Notification = {
  id: 'failure/1',
  event: 'message',
  to: ['ml-alerts@company.com'],
  subject: 'Run nightly/1 failed',
  text: 'Step "train" failed.\n\nSee the log.',
  runId: 'nightly/1',
  executionId: 'exec-1',
};

function createNotify(
  notifiers: Parameters<typeof createNotifyActivities>[0]['notifiers'],
  links: { readonly temporalUiUrl?: string } = {},
) {
  const store = createMemoryStore();
  const activities = createNotifyActivities({
    store,
    notifiers,
    clock: { nowMs: () => 7 },
    context: createContext(),
    ...links,
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
      assert.match(record().note ?? '', /^Not sent yet: The e-mail .* was not taken by .*451/);
      await notify(NOTIFICATION);
      assert.equal(smtp.messages.length, 1);
      assert.equal(record().note, undefined);
    }));

  test('says in the message of a failed run where to look', async () => {
    const { notify, record } = createNotify([], { temporalUiUrl: 'http://ui:8233' });
    await notify({ ...NOTIFICATION, event: 'failure', runId: "it's late" });
    const { namespace, workflowId, epoch } = createContext()();
    assert.deepEqual(record().text.split('\n').slice(3), [
      '',
      "Run:     it's late",
      `Web UI:  http://ui:8233/namespaces/${namespace}/workflows/${encodeURIComponent(workflowId)}/${epoch}/history`,
      String.raw`Look:    npx anneal describe 'it'\''s late'`,
      String.raw`Logs:    npx anneal logs 'it'\''s late'`,
    ]);
  });

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

  for (const [what, url, why] of [
    ['a certificate of nobody', 'smtp://ml:right', /certificate .*NODE_EXTRA_CA_CERTS/],
    ['a wrong password', 'smtp://ml:wrong', /535.*ANNEAL_SMTP_URL/],
  ] as const)
    test(`does not ask to be tried again for ${what}`, async () => {
      const mail = await startMailServer({ user: 'ml', password: 'right' });
      try {
        const tls = what === 'a wrong password' ? '?tls.rejectUnauthorized=false' : '';
        const notifier = createEmailNotifier({ smtpUrl: `${url}@127.0.0.1:${mail.port}${tls}` });
        await assert.rejects(createNotify([notifier]).notify(NOTIFICATION), {
          code: 'InvalidConfig',
          message: why,
        });
        assert.deepEqual(mail.messages, []);
      } finally {
        await mail.close();
      }
    });

  test('says that a mail server is away', async () => {
    const smtp = await startSmtpServer();
    await smtp.close();
    const { notify } = createNotify([createEmailNotifier({ smtpUrl: smtp.url })]);
    await assert.rejects(notify(NOTIFICATION), { code: 'NotificationFailed', message: /ECONNREFUSED/ });
  });
});
