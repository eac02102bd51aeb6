import type { Notice } from '../../core/notification-text.js';
import type { Notification } from '../../core/notifications.js';

/** A message as a channel gets it. */
export interface OutgoingMessage {
  readonly notification: Notification;
  /** What to show. */
  readonly notice: Notice;
  /** Those of the message's addresses that are this channel's. */
  readonly to: readonly string[];
  /** Now. */
  readonly atMs: number;
}

/** One channel to people. */
export interface Notifier {
  /** For the record and for messages: `email`, `slack:<name>`, `webhook:<name>`. */
  readonly channel: string;
  /**
   * Delivers the message. The same message again may reach people twice where the channel cannot tell.
   * @throws AnnealError NotificationFailed; InvalidConfig or SecretMissing where trying again cannot help.
   */
  send(message: OutgoingMessage, signal: AbortSignal): Promise<void>;
}
