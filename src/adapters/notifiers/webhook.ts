import { createHmac } from 'node:crypto';
import type { Notifier, OutgoingMessage } from '../../activities/ports/notifier.js';
import { messageId } from '../../core/notifications.js';
import { postJson } from './post-json.js';

/** A receiver of signed webhooks. */
export interface WebhookOptions {
  /** Name under `notifiers` in anneal.yaml. */
  readonly name: string;
  readonly url: () => Promise<string>;
  /** The key of the signatures: a text, or `whsec_` and base64. Asked before each message. */
  readonly key: () => Promise<string>;
}

/**
 * A webhook as https://www.standardwebhooks.com describes it, the headers in lower case: `webhook-id` (the same for the same message, for
 * receivers that drop doubles), `webhook-timestamp` (seconds) and `webhook-signature`, `v1,` and the base64 of HMAC-SHA256 over
 * `<id>.<timestamp>.<body>`.
 */
export function createWebhookNotifier({ name, url, key }: WebhookOptions): Notifier {
  return {
    channel: `webhook:${name}`,
    send: async (message, signal) => {
      const body = JSON.stringify(buildBody(message));
      const id = `msg_${messageId(message.notification)}`;
      const timestamp = String(Math.floor(message.atMs / 1_000));
      const signature = createHmac('sha256', readKey(await key()))
        .update(`${id}.${timestamp}.${body}`)
        .digest('base64');
      await postJson(
        {
          what: `The webhook of notifier "${name}"`,
          url: await url(),
          body,
          headers: {
            'webhook-id': id,
            'webhook-timestamp': timestamp,
            'webhook-signature': `v1,${signature}`,
          },
          remedy: `Check the url and the key of notifier "${name}".`,
        },
        signal,
      );
    },
  };
}

function readKey(key: string): Uint8Array {
  return key.startsWith('whsec_') ? Buffer.from(key.slice(6), 'base64') : Buffer.from(key, 'utf8');
}

/** The shape is a contract with receivers: members are added, never changed. */
function buildBody({ notification, notice, atMs }: OutgoingMessage) {
  const { event, runId, executionId, pipeline, failure, step, startedAtMs, endedAtMs } = notification;
  return {
    type: `run.${event}`,
    timestamp: new Date(atMs).toISOString(),
    data: {
      runId,
      executionId,
      pipeline,
      subject: notice.subject,
      text: notice.text,
      failure: failure && { code: failure.code, message: notice.text },
      step: step && { name: step.name, attempt: step.attempt, pool: step.pool, log: notice.log },
      startedAt: startedAtMs === undefined ? undefined : new Date(startedAtMs).toISOString(),
      endedAt: endedAtMs === undefined ? undefined : new Date(endedAtMs).toISOString(),
      links: Object.fromEntries(notice.links.map(({ name, url }) => [name, url])),
      commands: Object.fromEntries(notice.commands.map(({ name, command }) => [name, command])),
    },
  };
}
