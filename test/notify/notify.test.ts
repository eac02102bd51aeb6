import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { describe, test } from 'node:test';
import {
  createNotifyActivities,
  type DeliveryRecord,
  type NotificationRecord,
  type NotifyDeps,
} from '../../src/activities/notify.js';
import { createEmailNotifier } from '../../src/adapters/notifiers/email.js';
import { createSlackNotifier } from '../../src/adapters/notifiers/slack.js';
import { createWebhookNotifier } from '../../src/adapters/notifiers/webhook.js';
import { storeKeys } from '../../src/core/artifact-store.js';
import type { Notification } from '../../src/core/notifications.js';
import { toPathSegment } from '../../src/core/run.js';
import { startMailServer } from '../system/support/mail-server.js';
import { createContext, createMemoryStore } from '../tracking/fixtures.js';
import { startHttpReceiver, type HttpReceiver } from './http-receiver.js';
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
const EMAIL = { name: 'email', to: NOTIFICATION.to };
const SLACK = { name: 'slack:ml', to: ['slack:#ml'] };
const WEBHOOK = { name: 'webhook:pager', to: ['webhook:pager'] };

function createNotify(notifiers: NotifyDeps['notifiers'], changes: Partial<NotifyDeps> = {}) {
  const store = createMemoryStore();
  const started: Notification[] = [];
  const activities = createNotifyActivities({
    store,
    notifiers,
    clock: { nowMs: () => 7_000 },
    context: createContext(),
    startDelivery: async (notification) => void started.push(notification),
    failedBefore: async () => Promise.resolve(false),
    ...changes,
  });
  const read = (key: string) =>
    JSON.parse(Buffer.from(store.objects.get(key) ?? new Uint8Array()).toString()) as unknown;
  const record = () =>
    read(storeKeys.notification('exec-1', toPathSegment('failure/1'))) as NotificationRecord;
  const fate = (channel: string) =>
    read(
      storeKeys.delivery({
        executionId: 'exec-1',
        id: toPathSegment('failure/1'),
        channel: toPathSegment(channel),
      }),
    ) as DeliveryRecord;
  const send = async (channel = EMAIL, notification = NOTIFICATION) =>
    await activities.deliverNotification({ notification, channel });
  return { ...activities, send, started, record, fate };
}

async function withSmtp(use: (smtp: SmtpServer) => Promise<void>): Promise<void> {
  const smtp = await startSmtpServer();
  try {
    await use(smtp);
  } finally {
    await smtp.close();
  }
}

async function withReceiver(use: (receiver: HttpReceiver) => Promise<void>): Promise<void> {
  const receiver = await startHttpReceiver();
  try {
    await use(receiver);
  } finally {
    await receiver.close();
  }
}

describe('telling people', () => {
  test('only starts what delivers, so that nothing that is away is waited for', async () => {
    const { notify, started } = createNotify([
      { channel: 'email', send: () => Promise.reject(new Error('must not be asked')) },
    ]);
    await notify(NOTIFICATION);
    assert.deepEqual(started, [NOTIFICATION]);
  });

  test('says that a pipeline works again only after a run of it failed', async () => {
    for (const failed of [true, false]) {
      const { notify, started } = createNotify([], { failedBefore: async () => Promise.resolve(failed) });
      await notify({ ...NOTIFICATION, event: 'recovery' });
      assert.equal(started.length, failed ? 1 : 0);
    }
  });

  test('writes the message into the run, and that it names nobody', async () => {
    const { recordNotification, record } = createNotify([]);
    await recordNotification({ ...NOTIFICATION, to: [] });
    await recordNotification({ ...NOTIFICATION, to: [], text: 'another' });
    assert.deepEqual(record(), {
      ...NOTIFICATION,
      to: [],
      recordedAtMs: 7_000,
      note: 'Not sent: it names nobody.',
    });
  });

  test('without a mail server, or the notifier that it names, says that it was not sent', async () => {
    const { send, fate } = createNotify([]);
    await send();
    await send(SLACK);
    assert.equal(fate('email').note, 'Not sent to ml-alerts@company.com: no mail server is configured.');
    assert.equal(fate('slack:ml').note, 'Not sent to slack:#ml: anneal.yaml has no such notifier.');
  });

  test('takes known secrets out of what it sends', () =>
    withSmtp(async (smtp) => {
      const { send } = createNotify([createEmailNotifier({ smtpUrl: smtp.url })], {
        loadRedaction: async () => Promise.resolve((text) => text.replaceAll('hunter22', '[hidden]')),
      });
      await send(EMAIL, {
        ...NOTIFICATION,
        subject: 'hunter22 failed',
        step: { name: 'train', attempt: 1, logTail: ['token=hunter22'] },
      });
      assert.doesNotMatch(smtp.messages[0] ?? '', /hunter22/);
      assert.match(smtp.messages[0] ?? '', /token=3D\[hidden\]|token=\[hidden\]/);
    }));
});

describe('e-mail', () => {
  test('is sent once however often it is asked for', () =>
    withSmtp(async (smtp) => {
      const { send, fate } = createNotify([createEmailNotifier({ smtpUrl: smtp.url })]);
      await send();
      await send();
      assert.equal(smtp.messages.length, 1);
      const [message = ''] = smtp.messages;
      assert.match(message, /^From: anneal@127\.0\.0\.1\r?$/m);
      assert.match(message, /^To: ml-alerts@company\.com\r?$/m);
      assert.match(message, /^Subject: Run nightly\/1 failed\r?$/m);
      assert.match(message, /^Message-ID: <[0-9a-f]{40}@anneal>\r?$/m);
      assert.match(message, /Step "train" failed\./);
      assert.match(message, /Content-Type: text\/html/);
      assert.deepEqual(fate('email'), { ...channelOf(EMAIL), tries: 1, deliveredAtMs: 7_000 });
    }));

  test('fails while the mail server refuses, says why, and is sent with the next try', () =>
    withSmtp(async (smtp) => {
      smtp.refusals = 1;
      const { send, fate } = createNotify([createEmailNotifier({ smtpUrl: smtp.url })]);
      await assert.rejects(send(), { code: 'NotificationFailed', message: /ml-alerts@company\.com .*451/ });
      assert.match(fate('email').note ?? '', /^Not sent yet: The e-mail .* was not taken by .*451/);
      await send();
      assert.equal(smtp.messages.length, 1);
      assert.deepEqual(fate('email'), { ...channelOf(EMAIL), tries: 2, deliveredAtMs: 7_000 });
    }));

  test('lets no header in through a subject', () =>
    withSmtp(async (smtp) => {
      const { send } = createNotify([createEmailNotifier({ smtpUrl: smtp.url })]);
      await send(EMAIL, { ...NOTIFICATION, subject: 'x\r\nBcc: everybody@company.com' });
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
        await assert.rejects(createNotify([notifier]).send(), { code: 'InvalidConfig', message: why });
        assert.deepEqual(mail.messages, []);
      } finally {
        await mail.close();
      }
    });

  test('logs in with a secret that is asked for each message', async () => {
    const mail = await startMailServer({ user: 'ml', password: 'right' });
    try {
      const passwords = ['wrong', 'right'];
      const notifier = createEmailNotifier({
        smtpUrl: `smtp://127.0.0.1:${mail.port}?tls.rejectUnauthorized=false`,
        credentials: async () => Promise.resolve({ user: 'ml', pass: passwords.shift() ?? '' }),
      });
      const { send } = createNotify([notifier]);
      await assert.rejects(send(), { code: 'InvalidConfig' });
      await send();
      assert.deepEqual(
        mail.messages.map(({ secure }) => secure),
        [true],
      );
    } finally {
      await mail.close();
    }
  });

  test('gives no password to a server that offers no TLS', () =>
    withSmtp(async (smtp) => {
      const notifier = createEmailNotifier({ smtpUrl: smtp.url.replace('//', '//ml:right@') });
      await assert.rejects(createNotify([notifier]).send(), { message: /STARTTLS|TLS/i });
      assert.deepEqual(smtp.messages, []);
    }));

  test('says that a mail server is away', async () => {
    const smtp = await startSmtpServer();
    await smtp.close();
    const { send } = createNotify([createEmailNotifier({ smtpUrl: smtp.url })]);
    await assert.rejects(send(), { code: 'NotificationFailed', message: /ECONNREFUSED/ });
  });
});

describe('Slack', () => {
  const slack = (receiver: HttpReceiver, path = '/services/T/B/x') =>
    createNotify([
      createSlackNotifier({ name: 'ml', url: async () => Promise.resolve(`${receiver.url}${path}`) }),
    ]);

  test('gets blocks in which nothing of a log is markup', () =>
    withReceiver(async (receiver) => {
      const { send, fate } = slack(receiver);
      await send(SLACK, {
        ...NOTIFICATION,
        event: 'failure',
        text: 'Step <!channel> & failed',
        step: { name: 'train', attempt: 2, logTail: ['a ``` <b>', 'last'] },
      });
      assert.equal(receiver.received.length, 1);
      const [{ path, body } = { path: '', body: '{}' }] = receiver.received;
      const { blocks } = JSON.parse(body) as { blocks: { text: { text: string } }[] };
      assert.equal(path, '/services/T/B/x');
      assert.match(blocks[0]?.text.text ?? '', /&lt;!channel&gt; &amp; failed/);
      assert.match(blocks[1]?.text.text ?? '', /\*Logs:\* `npx anneal logs nightly\/1 train`/);
      assert.equal(blocks[2]?.text.text, "```\na ''' &lt;b&gt;\nlast\n```");
      assert.equal(fate('slack:ml').deliveredAtMs, 7_000);
    }));

  test('is tried again when it asks to slow down, and not when the webhook is gone', () =>
    withReceiver(async (receiver) => {
      const { send, fate } = slack(receiver);
      receiver.answers.push({ status: 429 }, { status: 404, body: 'no_service' });
      await assert.rejects(send(SLACK), { code: 'NotificationFailed', message: /answered 429/ });
      await assert.rejects(send(SLACK), {
        code: 'InvalidConfig',
        message: /answered 404 \(no_service\)\. Make a new incoming webhook/,
      });
      assert.doesNotMatch(fate('slack:ml').note ?? '', /services/);
      await send(SLACK);
      assert.equal(fate('slack:ml').tries, 3);
    }));

  test('is not asked over a plain connection to elsewhere', async () => {
    const notifier = createSlackNotifier({
      name: 'ml',
      url: async () => Promise.resolve('http://hooks.slack.example/x'),
    });
    await assert.rejects(createNotify([notifier]).send(SLACK), {
      code: 'InvalidConfig',
      message: /no https:\/\/ URL/,
    });
  });

  test('says that it is away, without the address', async () => {
    const receiver = await startHttpReceiver();
    await receiver.close();
    await assert.rejects(slack(receiver).send(SLACK), (error: Error) => {
      assert.match(error.message, /does not answer: ECONNREFUSED/);
      assert.doesNotMatch(error.message, /services|127/);
      return true;
    });
  });
});

describe('a webhook', () => {
  const KEY = `whsec_${Buffer.from('a key of some bytes').toString('base64')}`;
  const webhook = (receiver: HttpReceiver) =>
    createNotify([
      createWebhookNotifier({
        name: 'pager',
        url: async () => Promise.resolve(`${receiver.url}/in`),
        key: async () => Promise.resolve(KEY),
      }),
    ]);

  test('is signed, and has the same id for the same message', () =>
    withReceiver(async (receiver) => {
      receiver.answers.push({ status: 503 });
      const { send } = webhook(receiver);
      await assert.rejects(send(WEBHOOK), { code: 'NotificationFailed' });
      await send(WEBHOOK);
      const [first, second] = receiver.received;
      assert.ok(first && second);
      assert.equal(first.headers['webhook-id'], second.headers['webhook-id']);
      const { 'webhook-id': id, 'webhook-timestamp': at, 'webhook-signature': signature } = second.headers;
      assert.equal(at, '7');
      const expected = createHmac('sha256', 'a key of some bytes')
        .update(`${String(id)}.${at}.${second.body}`)
        .digest('base64');
      assert.equal(signature, `v1,${expected}`);
    }));

  test('carries what a program needs', () =>
    withReceiver(async (receiver) => {
      await webhook(receiver).send(WEBHOOK, {
        ...NOTIFICATION,
        event: 'failure',
        pipeline: 'churn',
        failure: { code: 'StepFailed', message: 'x' },
        step: { name: 'train', attempt: 2, logTail: ['last'] },
      });
      const { type, data } = JSON.parse(receiver.received[0]?.body ?? '{}') as {
        type: string;
        data: { [name: string]: unknown };
      };
      assert.equal(type, 'run.failure');
      assert.deepEqual([data['runId'], data['pipeline']], ['nightly/1', 'churn']);
      assert.deepEqual(data['step'], { name: 'train', attempt: 2, log: ['last'] });
    }));

  test('follows no redirect with what is meant for one receiver', () =>
    withReceiver(async (receiver) => {
      receiver.answers.push({ status: 307, location: '/elsewhere' });
      await assert.rejects(webhook(receiver).send(WEBHOOK), {
        code: 'InvalidConfig',
        message: /answered 307/,
      });
      assert.equal(receiver.received.length, 1);
    }));
});

function channelOf({ name, to }: typeof EMAIL) {
  return { channel: name, to };
}
