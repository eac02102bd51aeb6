import assert from 'node:assert/strict';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { startHarness, succeeded, type Harness } from './harness.js';

const server = process.env['ANNEAL_TEST_TIME_SKIPPING'];
const DAY_MS = 86_400_000;

describe(
  'waiting for people while time flies',
  { skip: server === undefined ? 'ANNEAL_TEST_TIME_SKIPPING is not set' : false },
  () => {
    let h: Harness;
    before(async () => {
      const folder = path.dirname(fileURLToPath(import.meta.url));
      h = await startHarness('', {
        workflowsPath: path.join(folder, 'approval-pipelines.ts'),
        timeSkippingServer: server ?? '',
      });
      h.script = (request) => succeeded(request);
      h.directory = {
        approvers: [{ name: 'ana', keys: ['0'.repeat(64)], email: 'ana@example.com' }],
        groups: { leads: ['ana'] },
      };
    });
    after(async () => {
      await h.close();
    });

    /** Runs one gate to its expiry: events of its history, and the time that passed. */
    const wait = async (parameters: object) => {
      const handle = await h.start('release', { outcome: 'approve', ...parameters });
      assert.equal(((await handle.result()) as { by: string }).by, 'expiry');
      const { events } = await handle.fetchHistory();
      const atMs = (events ?? []).map(({ eventTime }) => Number(eventTime?.seconds ?? 0) * 1_000);
      return { events: atMs.length, tookMs: (atMs.at(-1) ?? 0) - (atMs[0] ?? 0) };
    };

    test('90 days cost the same events as a minute', async () => {
      const minute = await wait({ expires: '1m' });
      const quarter = await wait({ expires: '90d' });
      assert.ok(quarter.tookMs >= 90 * DAY_MS && quarter.tookMs < 91 * DAY_MS, String(quarter.tookMs));
      assert.ok(minute.tookMs < DAY_MS, String(minute.tookMs));
      assert.equal(quarter.events, minute.events);
    });

    test('reminders are what costs events, and are sent as often as was asked', async () => {
      h.announcements.length = 0;
      const quiet = await wait({ expires: '10d' });
      h.announcements.length = 0;
      const reminded = await wait({ expires: '10d', remindEvery: '1d' });
      assert.equal(h.announcements.filter(({ why }) => why === 'reminder').length, 9);
      assert.ok(reminded.events > quiet.events);
    });
  },
);
