import type { Notification, SystemActivities } from '../core/activities.js';
import type { ArtifactStore } from '../core/artifact-store.js';
import { storeKeys } from '../core/artifact-store.js';
import { toPathSegment } from '../core/run.js';
import type { ActivityContext, Clock } from './ports/activity-context.js';
import type { Notifier } from './ports/notifier.js';
import { withHeartbeat } from './tracking-context.js';

/** What {@link createNotifyActivities} is made of. */
export interface NotifyDeps {
  readonly store: ArtifactStore;
  /** Channels that are configured; may be empty. */
  readonly notifiers: readonly Notifier[];
  readonly clock: Pick<Clock, 'nowMs'>;
  readonly context: () => ActivityContext;
}

/** A notification as the run keeps it in the store. */
export interface NotificationRecord extends Notification {
  readonly recordedAtMs: number;
  /** When each channel took it. */
  readonly deliveredAtMs: { readonly [channel: string]: number };
  /** Said to people where nothing was sent. */
  readonly note?: string;
}

/** The part of {@link SystemActivities} that tells people. */
export function createNotifyActivities(deps: NotifyDeps): Pick<SystemActivities, 'notify'> {
  return {
    notify: (notification) => withHeartbeat(deps.context(), (signal) => notify(deps, notification, signal)),
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
  for (const notifier of channels) {
    if (record.deliveredAtMs[notifier.channel] !== undefined) continue;
    try {
      await notifier.send(notification, signal);
    } catch (error) {
      signal.throwIfAborted();
      failures.push(error);
      continue;
    }
    record = { ...record, deliveredAtMs: { ...record.deliveredAtMs, [notifier.channel]: clock.nowMs() } };
    await writeRecord(store, key, record);
  }
  if (failures.length > 0) throw failures[0];
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
