import type { Notification } from '../../core/activities.js';

/** One channel to people. */
export interface Notifier {
  /** For the record and for messages: `email`. */
  readonly channel: string;
  /**
   * Delivers the message. The same id again may reach people twice where the channel cannot tell.
   * @throws AnnealError NotificationFailed
   */
  send(notification: Notification, signal: AbortSignal): Promise<void>;
}
