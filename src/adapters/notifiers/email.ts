import type { Transporter } from 'nodemailer';
import { createTransport } from 'nodemailer';
import type { Notifier, OutgoingMessage } from '../../activities/ports/notifier.js';
import { AnnealError } from '../../core/failures.js';
import { toHtml, toPlainText } from '../../core/notification-text.js';
import { messageId } from '../../core/notifications.js';

/** Where e-mail leaves, and from whom. */
export interface EmailOptions {
  /** `smtp://[user:password@]host:port` or `smtps://...`; kept out of every message. */
  readonly smtpUrl: string;
  /** Sender; default `anneal@<host name of smtpUrl>`. */
  readonly from?: string;
  /** Who logs in, asked before each message; default: what the URL says. */
  readonly credentials?: () => Promise<{ readonly user: string; readonly pass: string }>;
}

const TIMEOUT_MS = 20_000;

/**
 * E-mail over SMTP. The message's `Message-ID` follows from the notification's id, so mail systems that drop doubles can.
 * @throws AnnealError InvalidConfig for an address that is no SMTP URL.
 */
export function createEmailNotifier({ smtpUrl, from, credentials }: EmailOptions): Notifier {
  const server = readSmtpUrl(smtpUrl);
  const sender = from ?? `anneal@${server.hostname}`;
  const timeouts = { connectionTimeout: TIMEOUT_MS, greetingTimeout: TIMEOUT_MS, socketTimeout: TIMEOUT_MS };
  return {
    channel: 'email',
    send: async (message, signal) => {
      signal.throwIfAborted();
      const auth = await credentials?.();
      // One connection per message: nothing is left open in a worker that sends one a day.
      const transport = createTransport({
        url: smtpUrl,
        ...timeouts,
        ...(auth === undefined ? {} : { auth }),
        ...(auth === undefined && server.password === '' ? {} : requireTls(server)),
      });
      const stop = () => {
        transport.close();
      };
      signal.addEventListener('abort', stop, { once: true });
      try {
        await deliver(transport, { message, sender, server });
      } catch (error) {
        signal.throwIfAborted();
        throw error;
      } finally {
        signal.removeEventListener('abort', stop);
        transport.close();
      }
    },
  };
}

/** A password goes over no connection that somebody else made plain. */
function requireTls(server: URL): { readonly requireTLS?: true } {
  return server.protocol === 'smtps:' || server.searchParams.has('requireTLS') ? {} : { requireTLS: true };
}

async function deliver(
  transport: Transporter,
  {
    message: { notification, notice, to },
    sender,
    server,
  }: { readonly message: OutgoingMessage; readonly sender: string; readonly server: URL },
): Promise<void> {
  const { subject } = notice;
  try {
    await transport.sendMail({
      from: sender,
      to: [...to],
      subject,
      text: toPlainText(notice),
      html: toHtml(notice),
      messageId: `<${messageId(notification)}@anneal>`,
      headers: { 'X-Anneal-Run': encodeURIComponent(notification.runId), 'Auto-Submitted': 'auto-generated' },
      disableFileAccess: true,
      disableUrlAccess: true,
    });
  } catch (error) {
    const why = (error instanceof Error ? error.message : String(error)).replace(/\.$/, '');
    const remedy = findRemedy(error);
    throw new AnnealError(
      remedy === undefined ? 'NotificationFailed' : 'InvalidConfig',
      `The e-mail "${subject}" to ${to.join(', ')} was not taken by ${server.host}: ${why}. ${remedy ?? 'Check the SMTP address and its credentials.'}`,
      { cause: error },
    );
  }
}

/** What to change where trying again cannot help; undefined where it can. */
function findRemedy(error: unknown): string | undefined {
  const { code, message, responseCode } = error as {
    readonly code?: string;
    readonly message?: string;
    readonly responseCode?: number;
  };
  if (code === 'EAUTH' && !(responseCode !== undefined && responseCode < 500))
    return 'Check the user name and the password in ANNEAL_SMTP_URL (percent-encoded) or in the secret of smtp.secret.';
  if (/certificate|altnames/i.test(message ?? ''))
    return 'Renew the certificate, use the name that it is for, or name its authority in NODE_EXTRA_CA_CERTS where the worker starts.';
  return undefined;
}

function readSmtpUrl(smtpUrl: string): URL {
  const url = URL.canParse(smtpUrl) ? new URL(smtpUrl) : undefined;
  if (url !== undefined && /^smtps?:$/.test(url.protocol) && url.hostname !== '') return url;
  const shown = smtpUrl.replace(/\/\/[^/@]*@/, '//');
  throw new AnnealError(
    'InvalidConfig',
    `"${shown}" is not the address of a mail server. Write smtp://host:587 or smtps://user:password@host.`,
  );
}
