import type { Notifier } from '../../activities/ports/notifier.js';
import { AnnealError } from '../../core/failures.js';
import { toMrkdwn } from '../../core/notification-text.js';
import { postJson } from './post-json.js';

/** Where a Slack channel is. */
export interface SlackOptions {
  /** Name under `notifiers` in anneal.yaml. */
  readonly name: string;
  /** The incoming webhook, which is a credential: asked before each message, in no message. */
  readonly url: () => Promise<string>;
}

/** A Slack channel by its incoming webhook. Slack cannot tell a message that it had before. */
export function createSlackNotifier({ name, url }: SlackOptions): Notifier {
  const what = `Slack's webhook of notifier "${name}"`;
  return {
    channel: `slack:${name}`,
    send: async ({ notice }, signal) => {
      const blocks = toMrkdwn(notice).map((text) => ({ type: 'section', text: { type: 'mrkdwn', text } }));
      const body = JSON.stringify({ text: notice.subject, blocks, unfurl_links: false, unfurl_media: false });
      const remedy = `Make a new incoming webhook in Slack and set it as key "url" of the secret of notifier "${name}".`;
      await postJson({ what, url: checkUrl(await url(), name), body, remedy }, signal);
    },
  };
}

function checkUrl(text: string, name: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const isOwn = url?.protocol === 'http:' && ['127.0.0.1', '[::1]', 'localhost'].includes(url.hostname);
  if (url?.protocol === 'https:' || isOwn) return text;
  throw new AnnealError(
    'InvalidConfig',
    `Key "url" of the secret of notifier "${name}" is no https:// URL. Set it to the incoming webhook that Slack shows.`,
  );
}
