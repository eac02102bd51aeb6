import { ApplicationFailure, log, proxyActivities } from '@temporalio/workflow';
import type { SystemActivities } from '../core/activities.js';
import { channelsOf, type Channel } from '../core/notification-routes.js';
import type { Notification } from '../core/notifications.js';
import { readFailure } from './failures.js';

/**
 * Brings one message to people, each channel for itself: one that is away is tried for a day while the run that it is about has long
 * ended. Fails when a channel did not take the message, so that this is seen in a list of workflows.
 */
export async function delivery(notification: Notification): Promise<void> {
  const channels = channelsOf(notification.to);
  const [, ...sent] = await Promise.all([
    writeDown(notification),
    ...channels.map(async (channel) => await deliver(notification, channel)),
  ]);
  const problems = sent.flatMap((problem) => problem ?? []);
  if (problems.length > 0)
    throw ApplicationFailure.create({
      type: 'NotificationFailed',
      message: problems.join(' '),
      nonRetryable: true,
    });
}

/** The store may be away for as long as it likes: people are told all the same. */
async function writeDown(notification: Notification): Promise<undefined> {
  const { recordNotification } = proxyActivities<SystemActivities>({
    startToCloseTimeout: '1m',
    scheduleToCloseTimeout: '24h',
    retry: { maximumInterval: '5m' },
    summary: 'write the message into the notifications of the run',
  });
  try {
    await recordNotification(notification);
  } catch (error) {
    log.warn('the message could not be written down', { id: notification.id, error: String(error) });
  }
  return undefined;
}

/** @returns why the channel did not take it. */
async function deliver(notification: Notification, channel: Channel): Promise<string | undefined> {
  const { deliverNotification } = proxyActivities<SystemActivities>({
    startToCloseTimeout: '2m',
    heartbeatTimeout: '20s',
    scheduleToCloseTimeout: '24h',
    retry: { initialInterval: '2s', maximumInterval: '10m' },
    summary: `tell ${channel.to.join(', ')}`.slice(0, 200),
  });
  try {
    await deliverNotification({ notification, channel });
    return undefined;
  } catch (error) {
    const { message } = readFailure(error);
    log.warn('a message was not delivered', {
      channel: channel.name,
      subject: notification.subject,
      message,
    });
    return message;
  }
}
