import type { SystemActivities } from '../core/activities.js';
import type { ArtifactStore } from '../core/artifact-store.js';
import { storeKeys } from '../core/artifact-store.js';
import { buildNotice, type NoticeLinks } from '../core/notification-text.js';
import type { Delivery, Notification } from '../core/notifications.js';
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
  /** Bases of the links in a message; where there is none there is no link. */
  readonly links?: Pick<NoticeLinks, 'temporalUiUrl' | 'trackingUiUrl'>;
  /** Starts the workflow that delivers; one that was started for this message before is enough. */
  readonly startDelivery: (notification: Notification) => Promise<void>;
  /** Whether the run that ended before this one, of the same pipeline, failed. */
  readonly failedBefore: (notification: Notification) => Promise<boolean>;
  /** What takes the known secrets of this machine out of a text. Default: nothing. */
  readonly loadRedaction?: () => Promise<(text: string) => string>;
}

/** A notification as the run keeps it in the store. */
export interface NotificationRecord extends Notification {
  readonly recordedAtMs: number;
  /** Said to people when it goes nowhere: why. */
  readonly note?: string;
}

/** How a notification fares on one channel, beside its record. */
export interface DeliveryRecord {
  readonly channel: string;
  readonly to: readonly string[];
  /** How often it was tried. */
  readonly tries: number;
  /** When the channel took it. */
  readonly deliveredAtMs?: number;
  /** While it was not sent: why. */
  readonly note?: string;
}

/** The part of {@link SystemActivities} that tells people. */
export function createNotifyActivities(
  deps: NotifyDeps,
): Pick<SystemActivities, 'notify' | 'recordNotification' | 'deliverNotification'> {
  return {
    notify: async (notification) => {
      if (notification.event === 'recovery' && !(await deps.failedBefore(notification))) return;
      await deps.startDelivery(notification);
    },
    recordNotification: async (notification) => await recordNotification(deps, notification),
    deliverNotification: (delivery) =>
      withHeartbeat(deps.context(), (signal) => deliver(deps, delivery, signal)),
  };
}

async function recordNotification({ store, clock }: NotifyDeps, notification: Notification): Promise<void> {
  const key = storeKeys.notification(notification.executionId, toPathSegment(notification.id));
  if ((await readRecord(store, key)) !== undefined) return;
  const record: NotificationRecord = {
    ...notification,
    recordedAtMs: clock.nowMs(),
    ...(notification.to.length === 0 ? { note: 'Not sent: it names nobody.' } : {}),
  };
  await writeRecord(store, key, record);
}

/** Repeating it is safe: what the channel has taken is not sent again, unless the worker died between sending and writing that down. */
async function deliver(
  deps: NotifyDeps,
  { notification, channel }: Delivery,
  signal: AbortSignal,
): Promise<void> {
  const { store, notifiers, clock } = deps;
  const { name, to } = channel;
  const key = storeKeys.delivery({
    executionId: notification.executionId,
    id: toPathSegment(notification.id),
    channel: toPathSegment(name),
  });
  const before = await readRecord<DeliveryRecord>(store, key);
  if (before?.deliveredAtMs !== undefined) return;
  const record = { channel: name, to, tries: (before?.tries ?? 0) + 1 };
  const notifier = notifiers.find((one) => one.channel === name);
  if (notifier === undefined) {
    await writeRecord(store, key, { ...record, tries: 0, note: explainNotSent(channel) });
    return;
  }
  try {
    const redact = await deps.loadRedaction?.();
    const { namespace } = deps.context();
    const notice = buildNotice(notification, { ...deps.links, namespace }, redact);
    await notifier.send({ notification, notice, to, atMs: clock.nowMs() }, signal);
  } catch (error) {
    signal.throwIfAborted();
    const note = `Not sent yet: ${error instanceof Error ? error.message : String(error)}`;
    await writeRecord(store, key, { ...record, note });
    throw error;
  }
  await writeRecord(store, key, { ...record, deliveredAtMs: clock.nowMs() });
}

function explainNotSent({ name, to }: Delivery['channel']): string {
  const why = name === 'email' ? 'no mail server is configured' : 'anneal.yaml has no such notifier';
  return `Not sent to ${to.join(', ')}: ${why}.`;
}

async function readRecord<T = NotificationRecord>(store: ArtifactStore, key: string): Promise<T | undefined> {
  const bytes = await store.readBytes(key);
  return bytes === undefined ? undefined : (JSON.parse(Buffer.from(bytes).toString('utf8')) as T);
}

async function writeRecord(
  store: ArtifactStore,
  key: string,
  record: NotificationRecord | DeliveryRecord,
): Promise<void> {
  await store.putBytes(key, Buffer.from(`${JSON.stringify(record, null, 2)}\n`));
}
