import type { Notification, SystemActivities } from '../core/activities.js';
import type { ArtifactStore } from '../core/artifact-store.js';
import { storeKeys } from '../core/artifact-store.js';
import { toPathSegment } from '../core/run.js';
import { shellWord } from '../core/shell-word.js';
import type { ActivityContext, Clock } from './ports/activity-context.js';
import type { Notifier } from './ports/notifier.js';
import { withHeartbeat } from './tracking-context.js';
import { workflowUrl } from './tracking-links.js';

/** What {@link createNotifyActivities} is made of. */
export interface NotifyDeps {
  readonly store: ArtifactStore;
  /** Channels that are configured; may be empty. */
  readonly notifiers: readonly Notifier[];
  readonly clock: Pick<Clock, 'nowMs'>;
  readonly context: () => ActivityContext;
  /** Base of Temporal's Web UI, for the link in a message; without one there is none. */
  readonly temporalUiUrl?: string;
}

/** A notification as the run keeps it in the store. */
export interface NotificationRecord extends Notification {
  readonly recordedAtMs: number;
  /** When each channel took it. */
  readonly deliveredAtMs: { readonly [channel: string]: number };
  /** Said to people while something was not sent: why. */
  readonly note?: string;
}

/** The part of {@link SystemActivities} that tells people. */
export function createNotifyActivities(deps: NotifyDeps): Pick<SystemActivities, 'notify'> {
  return {
    notify: (notification) =>
      withHeartbeat(deps.context(), (signal) =>
        notify(
          deps,
          notification.event === 'failure' ? withNextSteps(deps, notification) : notification,
          signal,
        ),
      ),
  };
}

/**
 * Writes the message into the run's notifications first, then sends it on each channel that has not taken it. Repeating it is safe;
 * a dead channel fails the activity after the others were tried, and the caller decides how often to repeat.
 */
async function notify(
  { store, notifiers, clock }: NotifyDeps,
  notification: Notification,
  signal: AbortSignal,
): Promise<void> {
  const key = storeKeys.notification(notification.executionId, toPathSegment(notification.id));
  const channels = notification.to.length === 0 ? [] : notifiers;
  let record = (await readRecord(store, key)) ?? {
    ...notification,
    recordedAtMs: clock.nowMs(),
    deliveredAtMs: {},
    ...(channels.length === 0 ? { note: explainNotSent(notification) } : {}),
  };
  await writeRecord(store, key, record);
  const failures: unknown[] = [];
  const keep = async (change: Partial<NotificationRecord>) => {
    record = { ...record, ...change };
    await writeRecord(store, key, record);
  };
  for (const notifier of channels) {
    if (record.deliveredAtMs[notifier.channel] !== undefined) continue;
    try {
      await notifier.send(notification, signal);
    } catch (error) {
      signal.throwIfAborted();
      failures.push(error);
      await keep({ note: `Not sent yet: ${error instanceof Error ? error.message : String(error)}` });
      continue;
    }
    await keep({ deliveredAtMs: { ...record.deliveredAtMs, [notifier.channel]: clock.nowMs() } });
  }
  if (failures.length > 0) throw failures[0];
  if (channels.length > 0 && record.note !== undefined) await writeRecord(store, key, withoutNote(record));
}

/** Who reads it at night needs to know where to look, without knowing the project. */
function withNextSteps({ context, temporalUiUrl }: NotifyDeps, notification: Notification): Notification {
  const run = shellWord(notification.runId);
  const lines = [
    notification.text,
    '',
    `Run:     ${notification.runId}`,
    ...(temporalUiUrl === undefined ? [] : [`Web UI:  ${workflowUrl(temporalUiUrl, context())}`]),
    `Look:    npx anneal describe ${run}`,
    `Logs:    npx anneal logs ${run}`,
  ];
  return { ...notification, text: lines.join('\n') };
}

function withoutNote({ note: _delivered, ...record }: NotificationRecord): NotificationRecord {
  return record;
}

function explainNotSent({ to }: Notification): string {
  if (to.length === 0) return 'Not sent: it names nobody.';
  return `Not sent to ${to.join(', ')}: no mail server is configured.`;
}

async function readRecord(store: ArtifactStore, key: string): Promise<NotificationRecord | undefined> {
  const bytes = await store.readBytes(key);
  return bytes === undefined
    ? undefined
    : (JSON.parse(Buffer.from(bytes).toString('utf8')) as NotificationRecord);
}

async function writeRecord(store: ArtifactStore, key: string, record: NotificationRecord): Promise<void> {
  await store.putBytes(key, Buffer.from(`${JSON.stringify(record, null, 2)}\n`));
}
