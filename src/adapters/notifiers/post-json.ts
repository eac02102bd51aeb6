import { AnnealError } from '../../core/failures.js';

/** A request to a channel. */
export interface Post {
  /** For messages: the URL may be a secret. */
  readonly what: string;
  readonly url: string;
  readonly body: string;
  readonly headers?: { readonly [name: string]: string };
  /** What to check where the channel refuses. */
  readonly remedy: string;
}

const TIMEOUT_MS = 20_000;

/**
 * Sends a body once; an answer of 2xx says that it was taken. A redirect is not followed: the body is meant for the address that was set.
 * @throws AnnealError NotificationFailed; InvalidConfig for an answer that the same request would get again.
 */
export async function postJson(
  { what, url, body, headers, remedy }: Post,
  signal: AbortSignal,
): Promise<void> {
  signal.throwIfAborted();
  let answer: Response;
  try {
    answer = await fetch(url, {
      method: 'POST',
      body,
      headers: { 'content-type': 'application/json', 'user-agent': 'anneal', ...headers },
      redirect: 'manual',
      signal: AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]),
    });
  } catch (error) {
    signal.throwIfAborted();
    throw new AnnealError(
      'NotificationFailed',
      `${what} does not answer: ${reasonOf(error)}. Check that it runs and can be reached from the worker.`,
      {
        cause: error,
      },
    );
  }
  const said = (await answer.text().catch(() => '')).replaceAll(/\s+/g, ' ').trim().slice(0, 200);
  if (answer.ok) return;
  const text = `${what} answered ${answer.status}${said === '' ? '' : ` (${said})`}.`;
  if (isPassing(answer.status)) throw new AnnealError('NotificationFailed', `${text} It is tried again.`);
  throw new AnnealError('InvalidConfig', `${text} ${remedy}`);
}

/** Whether the same request may be taken later. */
function isPassing(status: number): boolean {
  return status >= 500 || status === 408 || status === 425 || status === 429;
}

/** Without the address, which may be a secret. */
function reasonOf(error: unknown): string {
  const cause = error instanceof Error ? error.cause : undefined;
  const code = (cause as { readonly code?: unknown } | undefined)?.code;
  if (typeof code === 'string') return code;
  return error instanceof Error && error.name === 'TimeoutError'
    ? 'no answer within 20 s'
    : 'the request failed';
}
