import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { createAnnounceApproval, type FindChampion } from '../../src/activities/announce-approval.js';
import { createNotifyActivities } from '../../src/activities/notify.js';
import { readChampion } from '../../src/activities/registry.js';
import type { Clock } from '../../src/activities/ports/activity-context.js';
import { createMlflowRegistry } from '../../src/adapters/mlflow/registry.js';
import { createEmailNotifier } from '../../src/adapters/notifiers/email.js';
import { createSlackNotifier } from '../../src/adapters/notifiers/slack.js';
import { createWebhookNotifier } from '../../src/adapters/notifiers/webhook.js';
import type { ApprovalAnnouncement } from '../../src/core/activities.js';
import { startMailServer, type MailServer } from '../system/support/mail-server.js';
import { createContext, createMemoryStore, withMlflow } from '../tracking/fixtures.js';
import { startHttpReceiver, type HttpReceiver } from './http-receiver.js';

const DIGEST = 'd'.repeat(64);
const ASKED: ApprovalAnnouncement = {
  id: 'approval-1',
  why: 'opened',
  runId: 'nightly/1',
  executionId: 'exec-1',
  pipeline: 'churn',
  approval: {
    ...{ gate: 'go live', digest: DIGEST, subjectUri: 'file:///store/model', openedAtMs: 0 },
    ...{ quorum: 1, allowUnverified: false, decided: [] },
  },
  to: ['ana@company.com', 'slack:ml', 'webhook:pager'],
};
const WITH_MODEL: ApprovalAnnouncement = {
  ...ASKED,
  metrics: { f1: 0.91, recall: 0.8, note: 'calibrated' },
  model: { name: 'churn-predictor', alias: 'champion' },
  tracking: { experimentId: '7', runId: 'm-1' },
};
const COMMAND = `npx anneal approve nightly/1 'go live' --digest ${DIGEST}`;

/** Every channel with a real server behind it. */
interface Channels {
  readonly mail: MailServer;
  readonly http: HttpReceiver;
}

/** What each channel was given for an announcement. */
async function announce(
  { mail, http }: Channels,
  announcement: ApprovalAnnouncement,
  findChampion?: FindChampion,
): Promise<{ readonly mail: string; readonly slack: string; readonly webhook: Record<string, unknown> }> {
  const base = `${http.url}/`;
  const activities = createNotifyActivities({
    store: createMemoryStore(),
    notifiers: [
      createEmailNotifier({ smtpUrl: `smtp://ml:right@127.0.0.1:${mail.port}?tls.rejectUnauthorized=false` }),
      createSlackNotifier({ name: 'ml', url: async () => Promise.resolve(`${base}slack`) }),
      createWebhookNotifier({
        name: 'pager',
        url: async () => Promise.resolve(`${base}webhook`),
        key: async () => Promise.resolve(`whsec_${Buffer.from('a key').toString('base64')}`),
      }),
    ],
    links: { temporalUiUrl: 'https://temporal.company.com', trackingUiUrl: 'https://mlflow.company.com' },
    clock: { nowMs: () => 7_000 },
    context: createContext(),
    // What the workflow of the message does: each channel on its own.
    startDelivery: async (notification) => {
      for (const [name, to] of [
        ['email', ['ana@company.com']],
        ['slack:ml', ['slack:ml']],
        ['webhook:pager', ['webhook:pager']],
      ] as const)
        await activities.deliverNotification({ notification, channel: { name, to } });
    },
    failedBefore: async () => Promise.resolve(false),
  });
  const { announceApproval } = createAnnounceApproval({
    ...{ notify: activities.notify, context: createContext(), findChampion, patienceMs: 300 },
  });
  await announceApproval(announcement);
  const bodyOf = (path: string) => http.received.find((request) => request.path === path)?.body ?? '{}';
  const { blocks } = JSON.parse(bodyOf('/slack')) as { blocks: { text: { text: string } }[] };
  const { data } = JSON.parse(bodyOf('/webhook')) as { data: Record<string, unknown> };
  return {
    mail: mail.messages[0]?.text ?? '',
    slack: blocks.map(({ text }) => text.text).join('\n'),
    webhook: data,
  };
}

async function withChannels(use: (channels: Channels) => Promise<void>): Promise<void> {
  const [mail, http] = await Promise.all([
    startMailServer({ user: 'ml', password: 'right' }),
    startHttpReceiver(),
  ]);
  try {
    await use({ mail, http });
  } finally {
    await Promise.all([mail.close(), http.close()]);
  }
}

/** As the product's: MLflow is waited for by it. */
const clock: Clock = {
  nowMs: () => Date.now(),
  sleep: async (ms, signal) => await setTimeout(ms, undefined, { signal }),
};

const champion: FindChampion = async () =>
  await Promise.resolve({ version: '3', metrics: { f1: 0.88, auc: 0.7 } });

describe('the message to approvers', () => {
  test('compares with the current champion, links, and has the command that decides on exactly this', () =>
    withChannels(async (channels) => {
      const { mail, slack, webhook } = await announce(channels, WITH_MODEL, champion);
      for (const text of [mail, slack]) {
        assert.match(text, /^f1: 0\.91 \(champion: 0\.88\)$/m);
        assert.match(text, /^recall: 0\.8$/m);
        assert.match(text, /^note: calibrated$/m);
        assert.match(text, /^churn-predictor@champion is version 3\.$/m);
        assert.ok(text.includes(`\n  ${COMMAND}\n`), text);
        assert.ok(
          text.includes(`\n  npx anneal reject nightly/1 'go live' --digest ${DIGEST} --comment 'why'`),
        );
        assert.ok(text.includes('https://temporal.company.com/namespaces/default/workflows/nightly%2F1'));
        assert.ok(text.includes('https://mlflow.company.com/#/experiments/7/runs/m-1'));
      }
      const [message] = channels.mail.messages;
      assert.deepEqual(
        [message?.to, message?.subject],
        ['ana@company.com', 'churn waits for approval "go live"'],
      );
      assert.match(String(webhook['text']), /f1: 0\.91 \(champion: 0\.88\)/);
    }));

  test('reads the champion from MLflow: its version, and the metrics that its gate saw', () =>
    withMlflow(async ({ fake, client, registry }) => {
      const find: FindChampion = ({ name, alias }, signal) =>
        readChampion({ registry }, { modelName: name, alias }, signal);
      await client.registeredModels.create({ name: 'churn-predictor' });
      await withChannels(async (channels) => {
        const { mail } = await announce(channels, WITH_MODEL, find);
        assert.match(mail, /^churn-predictor has no champion yet\.$/m);
        assert.match(mail, /^f1: 0\.91$/m);
      });
      const { version } = await client.modelVersions.create({
        name: 'churn-predictor',
        source: 'mlflow-artifacts:/1/model',
        tags: { 'gate.f1': '0.85' },
      });
      await client.registeredModels.setAlias({ name: 'churn-predictor', alias: 'champion', version });
      await withChannels(async (channels) => {
        const { mail } = await announce(channels, WITH_MODEL, find);
        assert.match(mail, /^f1: 0\.91 \(champion: 0\.85\)$/m);
        assert.match(mail, /^churn-predictor@champion is version 1\.$/m);
      });
      assert.ok(fake.calls.length > 0);
    }));

  for (const fault of ['drop-before', 'hang-before'] as const)
    test(
      `does not wait for an MLflow that is away (${fault}): it says that nothing was compared`,
      { timeout: 20_000 },
      () =>
        withMlflow(async ({ fake, client }) => {
          const registry = createMlflowRegistry({ client, clock });
          fake.fail('*', ...Array.from({ length: 10_000 }, () => fault));
          const find: FindChampion = ({ name, alias }, signal) =>
            readChampion({ registry }, { modelName: name, alias }, signal);
          await withChannels(async (channels) => {
            const { mail } = await announce(channels, WITH_MODEL, find);
            assert.match(mail, /^f1: 0\.91$/m);
            assert.match(mail, /^\(churn-predictor@champion could not be read for comparison\)$/m);
            assert.ok(mail.includes(COMMAND));
            assert.ok(fake.happened.length > 0);
          });
        }),
    );

  test('of a project without MLflow, and of a gate without metrics, has all the rest', () =>
    withChannels(async (channels) => {
      const { mail } = await announce(channels, { ...WITH_MODEL, metrics: {} });
      assert.match(mail, /could not be read for comparison/);
      assert.ok(mail.includes(COMMAND));
      channels.mail.reset();
      const plain = (await announce(channels, ASKED)).mail;
      assert.doesNotMatch(plain, /compar|champion|undefined/);
      assert.ok(plain.includes(`Digest: ${DIGEST}`) && plain.includes(COMMAND));
      assert.ok(!plain.includes('MLflow:'));
    }));

  test('tells what others decided, until when, and what may be set, and keeps its command in sight', () =>
    withChannels(async (channels) => {
      const decided = [
        { by: 'bo', decision: 'approve', verified: true },
        {
          ...({ by: 'cy', decision: 'approve', verified: false } as const),
          comment: `fine\n\nDecide:\n  npx anneal approve other ${'x'.repeat(4_000)}`,
        },
      ] as const;
      const { mail, slack } = await announce(channels, {
        ...WITH_MODEL,
        why: 'reminder',
        metrics: Object.fromEntries(Array.from({ length: 300 }, (_, i) => [`class_${i}_recall`, 0.5])),
        approval: {
          ...ASKED.approval,
          ...{ decided, quorum: 3, expiresAtMs: 86_400_000, excluded: 'dora' },
          form: { threshold: { type: 'number', min: 0, max: 1 } },
        },
      });
      assert.equal(channels.mail.messages[0]?.subject, 'Reminder: churn waits for approval "go live"');
      for (const text of [mail, slack]) {
        assert.match(text, /^Decided: approve by bo$/m);
        assert.match(
          text,
          /^Decided: approve by cy \(unverified\): fine Decide: npx anneal approve other x+ \.\.\.$/m,
        );
        assert.match(text, /^\(280 more metrics\)$/m);
        assert.match(text, /^Expires: 1970-01-02T00:00:00\.000Z \(1d 0h after it opened\)$/m);
        assert.match(text, /^dora started the run and may not decide\.$/m);
        assert.match(text, /^You may set threshold, a number from 0 to 1: --set threshold=VALUE$/m);
        assert.ok(text.includes(`\n  ${COMMAND}\n`));
      }
    }));
});
